// Training steps of a network on random pixels: what the tests of plans and of training compare.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "fovea/data/synthetic.h"
#include "fovea/model/init.h"
#include "fovea/train/session.h"
#include "fovea/train/step_graph.h"

namespace fovea::test {

struct Job {
  model::Network network;
  train::Recipe recipe;  // its batch, optimiser, augmentation and micro-batches
  int64_t images = 24;
  graph::Precision precision = {};
  std::vector<float> class_weights = {};
};

inline Job job_of(model::Network network, int64_t batch) {
  Job job{std::move(network), {}};
  job.recipe.batch = batch;
  return job;
}

inline train::Preprocessing preprocessing_of(const Job& job) {
  const size_t channels = static_cast<size_t>(job.network.c);
  return {std::vector<float>(channels, 0.5f), std::vector<float>(channels, 0.25f)};
}

inline graph::Graph training_graph(const Job& job, int64_t batch) {
  return train::training_graph(job.network, job.recipe, preprocessing_of(job),
                               {.images = job.images, .batch = batch, .precision = job.precision, .class_weights = job.class_weights});
}
inline graph::Graph training_graph(const Job& job) { return training_graph(job, job.recipe.batch); }
inline graph::Graph evaluation_graph(const Job& job) {
  return train::evaluation_graph(job.network, preprocessing_of(job),
                                 {.images = job.images,
                                  .batch = job.recipe.batch,
                                  .precision = job.precision,
                                  .averaged = train::averaged_parameters(training_graph(job))});
}
inline std::vector<std::string> order_of(const Job& job) { return train::parameter_order(training_graph(job)); }

inline std::vector<float> floats_of(const std::vector<io::NamedTensor>& tensors) {
  std::vector<float> values;
  for (const io::NamedTensor& tensor : tensors) {
    values.resize(values.size() + tensor.bytes.size() / sizeof(float));
    std::memcpy(values.data() + values.size() - tensor.bytes.size() / sizeof(float), tensor.bytes.data(), tensor.bytes.size());
  }
  return values;
}

inline std::vector<io::NamedTensor> initial_weights(const model::Network& network, uint64_t seed) {
  std::vector<io::NamedTensor> weights;
  for (const model::Parameter& parameter : network.parameters) {
    io::NamedTensor& weight = weights.emplace_back(io::NamedTensor{parameter.name, DType::f32, parameter.shape, {}});
    weight.bytes.resize(static_cast<size_t>(parameter.shape.elements()) * sizeof(float));
    model::draw_weights(parameter, seed, {weight.bytes.data(), DType::f32, parameter.shape});
  }
  return weights;
}

// Plan 0 trains, plan 1 evaluates.
class Training {
 public:
  Training(const Job& job, plan::Assignment assignment)
      : job_(job),
        images_(data::synthetic({.h = job.network.h,
                                 .w = job.network.w,
                                 .c = job.network.c,
                                 .classes = std::max<int64_t>(job.network.outputs, 2),
                                 .train = job.images,
                                 .test = 1},
                                1)
                    .train),
        session(std::move(assignment)) {
    session.add(training_graph(job_), order_of(job_), images_);
    session.add(evaluation_graph(job_), order_of(job_), images_);
    session.place();
    session.write_weights(initial_weights(job_.network, 1));
  }

  double step() {  // the mean loss before the update
    StepControl control;
    control.seed = 1;
    control.images = static_cast<uint64_t>(job_.images);
    control.position = static_cast<uint64_t>(steps_ * job_.recipe.batch % (job_.images - job_.images % job_.recipe.batch));
    control.step = static_cast<uint32_t>(steps_++);
    control.learning_rate = static_cast<float>(job_.recipe.learning_rate);
    session.clear_metrics();
    session.write_control(control);
    session.plan(0).run(session.stream());
    return train::scores_of(session.read_metrics()).loss;
  }
  std::vector<double> steps(int count) {
    std::vector<double> losses;
    for (int i = 0; i < count; ++i) losses.push_back(step());
    return losses;
  }
  std::vector<float> weights() { return floats_of(session.read_weights(job_.network)); }

 private:
  Job job_;
  data::Images images_;
  int64_t steps_ = 0;

 public:
  train::Session session;
};

// With single spaces, whatever the widths of the columns.
inline std::string words_of(std::string text) {
  const auto both_spaces = [](char a, char b) { return a == ' ' && b == ' '; };
  text.erase(std::unique(text.begin(), text.end(), both_spaces), text.end());
  return text;
}

// Relative to the largest of b.
template <class Value>
double largest_difference(const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    difference = std::isfinite(x) && std::isfinite(y) ? std::max(difference, std::abs(x - y)) : std::numeric_limits<double>::infinity();
    size = std::max(size, std::abs(y));
  }
  return difference / size;
}

}  // namespace fovea::test
