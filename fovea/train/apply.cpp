#include "fovea/train/apply.h"

#include <algorithm>
#include <cmath>

#include "fovea/backend/registry.h"
#include "fovea/base/clock.h"
#include "fovea/base/thread.h"
#include "fovea/train/trainer.h"

namespace fovea::train {
namespace {

struct Engine {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Session> session;
  int64_t batch = 1;
};

Engine open(const SavedModel& model, const data::Images& images, const RunOn& where) {
  model::check_fits(model.network, {"(images in memory)", images.h, images.w, images.c, std::ssize(model.classes)});
  Engine engine;
  engine.backend = open_backend(where.backend.empty() ? default_backend() : where.backend);
  plan::Assignment assignment;
  assignment.backend = engine.backend.get();
  assignment.limits.threads = where.threads > 0 ? where.threads : usable_cores();
  engine.session = std::make_unique<Session>(assignment);
  engine.batch = std::min(where.batch, images.count);
  return engine;
}

void place(Engine& engine, graph::Graph graph, const SavedModel& model, const data::Images& images) {
  std::vector<std::string> order;
  for (const model::Parameter& parameter : model.network.parameters)
    if (parameter.trained == model::Trained::yes) order.push_back(parameter.name);
  engine.session->add(std::move(graph), order, images);
  engine.session->place();
  engine.session->write_weights(model.weights);
}

// One row of logits as probabilities: softmax, or the sigmoid of a single logit as (no, yes).
void append_probabilities(std::span<const float> logits, std::vector<float>& to) {
  if (logits.size() == 1) {
    const double yes = 1 / (1 + std::exp(-static_cast<double>(logits[0])));
    to.insert(to.end(), {static_cast<float>(1 - yes), static_cast<float>(yes)});
    return;
  }
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  for (const float logit : logits) to.push_back(static_cast<float>(std::exp(logit - largest) / sum));
}

}  // namespace

Tested test(const SavedModel& model, const data::Images& images, const RunOn& where) {
  Engine engine = open(model, images, where);
  place(engine, evaluation_graph(model.network, model.preprocessing, {.images = images.count, .batch = engine.batch}), model, images);
  const Stopwatch watch;
  const Scores scores = evaluate(*engine.session, 0, images.count, engine.batch);
  return {scores, std::string(engine.backend->name()), watch.seconds()};
}

std::vector<float> probabilities(const SavedModel& model, const data::Images& images, const RunOn& where) {
  Engine engine = open(model, images, where);
  PredictionGraph prediction = prediction_graph(model.network, model.preprocessing, {.images = images.count, .batch = engine.batch});
  place(engine, std::move(prediction.graph), model, images);

  Session& session = *engine.session;
  const Tensor logits = session.plan(0).tensor(prediction.logits);
  const size_t outputs = static_cast<size_t>(model.network.outputs);
  std::vector<float> batch(static_cast<size_t>(logits.shape.elements())), result;
  StepControl control;
  control.images = static_cast<uint64_t>(images.count);
  for (int64_t position = 0; position < images.count; position += engine.batch) {
    control.position = static_cast<uint64_t>(position);
    session.write_control(control);
    session.run(0);
    engine.backend->device().download(batch.data(), logits.data, logits.bytes(), session.stream());
    session.stream().synchronize();
    const size_t rows = static_cast<size_t>(std::min(engine.batch, images.count - position));
    for (size_t row = 0; row < rows; ++row) append_probabilities(std::span(batch).subspan(row * outputs, outputs), result);
  }
  return result;
}

}  // namespace fovea::train
