// Single steps: cut into micro-batches, on different backends, with padding, and in how much memory.
#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/registry.h"
#include "fovea/train/session.h"
#include "tests/data/data_folder.h"
#include "tests/plan/small_training.h"

namespace fovea::train {
namespace {

using test::Job;
using test::job_of;
using test::largest_difference;

std::vector<float> update_of(Job job, Backend& backend, int64_t micro_batches) {
  job.recipe.micro_batches = micro_batches;
  test::Training training(job, {.backend = &backend});
  training.step();
  std::vector<float> change = training.weights();
  const std::vector<float> before = test::floats_of(test::initial_weights(job.network, 1));
  for (size_t i = 0; i < change.size(); ++i) change[i] -= before[i];
  return change;
}

// Of the update itself, not of the weights that it is small beside; the rate of 1 keeps the subtraction from losing digits.
void expect_same_update(Job job, const std::vector<int64_t>& micro_batches) {
  job.recipe.learning_rate = 1;
  for (const std::string name : {"reference", "eigen"}) {
    const std::unique_ptr<Backend> backend = open_backend(name);
    const std::vector<float> whole = update_of(job, *backend, 1);
    for (const int64_t parts : micro_batches)
      EXPECT_LT(largest_difference(update_of(job, *backend, parts), whole), 1e-6) << parts << " parts on " << name;
  }
}

Job augmented(const std::string& model, int64_t batch) {
  Job job = job_of(model::load_network(model), batch);
  job.recipe.mirror = Switch::on;
  job.recipe.crop_padding = 3;
  return job;
}

TEST(MicroBatches, GiveTheUpdateOfTheWholeBatch) { expect_same_update(job_of(model::load_network("lenet5"), 8), {2, 4, 8}); }
TEST(MicroBatches, NeedNotDivideTheBatch) { expect_same_update(job_of(model::load_network("lenet5"), 10), {3, 4}); }
TEST(MicroBatches, DrawTheSameAugmentation) { expect_same_update(augmented("lenet5", 10), {4}); }
TEST(MicroBatches, DrawTheSameDropout) { expect_same_update(job_of(model::load_network("mlp"), 10), {4}); }

// The comparison can fail: augmentation and dropout do change the update.
TEST(MicroBatches, AreComparedUnderRandomNumbersThatMatter) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  const std::vector<float> plain = update_of(job_of(model::load_network("lenet5"), 10), *backend, 1);
  EXPECT_GT(largest_difference(update_of(augmented("lenet5", 10), *backend, 1), plain), 1e-2);
  Job without = job_of(model::load_network("mlp"), 10);
  const std::vector<float> with = update_of(without, *backend, 1);
  for (model::Layer& layer : without.network.layers)
    if (auto* dropout = std::get_if<model::DropoutLayer>(&layer.kind)) dropout->rate = 0;
  EXPECT_GT(largest_difference(update_of(without, *backend, 1), with), 1e-2);
}

TEST(MicroBatches, NeedLessMemory) {
  const std::unique_ptr<Backend> backend = open_backend("reference");
  Job job = job_of(model::load_network("lenet5"), 12);
  const size_t whole = test::Training(job, {.backend = backend.get()}).session.bytes();
  job.recipe.micro_batches = 12;
  EXPECT_LT(plan::compile(test::training_graph(job), {.backend = backend.get()}, test::order_of(job)).arena_bytes()[3], whole / 4);
}

std::vector<float> first_images(test::Training& training, Device& device) {
  Stream& stream = training.session.stream();
  training.session.plan(0).steps()[0].kernel->run(stream);  // behind them others will use the memory
  const Tensor images = training.session.plan(0).tensor("data.augment");
  std::vector<float> values(static_cast<size_t>(images.shape.elements()));
  device.download(values.data(), images.data, images.bytes(), stream);
  stream.synchronize();
  return values;
}

// Every backend sees the same pixels and starts with the same weights.
TEST(Backends, StartWithTheSameBitsAndGoOnWithTheSameLosses) {
  const std::unique_ptr<Backend> reference = open_backend("reference");
  for (const BackendEntry& entry : list_backends()) {
    if (entry.name == "reference" || !entry.absent_because.empty()) continue;
    const std::unique_ptr<Backend> backend = open_backend(entry.name);
    for (const std::string model : {"lenet5", "cifar_cnn"}) {
      test::Training expected(augmented(model, 2), {.backend = reference.get()}), other(augmented(model, 2), {.backend = backend.get()});
      EXPECT_EQ(other.weights(), expected.weights()) << model;
      EXPECT_LT(largest_difference(other.steps(10), expected.steps(10)), 1e-5) << model << " on " << entry.name;
      EXPECT_EQ(first_images(other, backend->device()), first_images(expected, reference->device())) << model << " on " << entry.name;
    }
  }
}

// d = min(decay, (1 + step) / (10 + step)), from the initial weights on.
TEST(Averages, FollowTheWeightsAndAreWhatEvaluationReads) {
  for (const BackendEntry& entry : list_backends()) {
    if (!entry.absent_because.empty()) continue;
    const std::unique_ptr<Backend> backend = open_backend(entry.name);
    Job job = job_of(model::load_network("softmax"), 8);
    job.recipe.learning_rate = 1;
    test::Training plain(job, {.backend = backend.get()});
    job.recipe.ema_decay = 0.15;
    test::Training averaged(job, {.backend = backend.get()});
    std::vector<float> expected = plain.weights();
    EXPECT_EQ(averaged.weights(), expected) << entry.name;
    for (int step = 0; step < 3; ++step) {
      plain.step(), averaged.step();
      const std::vector<float> weights = plain.weights();
      const double d = std::min(0.15, (1.0 + step) / (10.0 + step));
      for (size_t i = 0; i < weights.size(); ++i) expected[i] = static_cast<float>(d * expected[i] + (1 - d) * weights[i]);
      EXPECT_LT(largest_difference(averaged.weights(), expected), 1e-6) << entry.name << " " << step;
    }
    EXPECT_GT(largest_difference(averaged.weights(), plain.weights()), 1e-3);
    const Scores of_average = evaluate(averaged.session, 1, 24, 8);
    plain.session.write_weights(averaged.session.read_weights(job.network));
    EXPECT_EQ(of_average.loss, evaluate(plain.session, 1, 24, 8).loss) << entry.name;
  }
}

// A step so short that only its direction is left: the norm of the change is rate * clip_norm.
TEST(Clipping, LimitsTheLengthOfAllGradientsTogether) {
  for (const BackendEntry& entry : list_backends()) {
    if (!entry.absent_because.empty()) continue;
    const std::unique_ptr<Backend> backend = open_backend(entry.name);
    Job job = job_of(model::load_network("lenet5"), 8);
    const auto change = [&](double clip_norm) {
      job.recipe.clip_norm = clip_norm;
      return update_of(job, *backend, 2);
    };
    const auto norm = [](const std::vector<float>& values) {
      double sum = 0;
      for (const float value : values) sum += static_cast<double>(value) * value;
      return std::sqrt(sum);
    };
    job.recipe.learning_rate = 1;
    const std::vector<float> free = change(0);
    EXPECT_NEAR(norm(change(0.25)), 0.25, 1e-5) << entry.name;
    EXPECT_EQ(change(1e6), free) << entry.name;
    std::vector<float> scaled = change(norm(free) / 2);
    for (float& value : scaled) value *= 2;
    EXPECT_LT(largest_difference(scaled, free), 1e-4) << entry.name;
  }
}

// With one linear layer by hand: each image counted once, whatever the batch; the padding of the last batch not at all.
TEST(Evaluate, CountsEachImageOnceInBatchesOfAnySize) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  Job job = job_of(model::load_network("softmax"), 1);
  const Scores one_by_one = [&] {
    test::Training training(job, {.backend = backend.get()});
    return evaluate(training.session, 1, job.images, 1);
  }();
  EXPECT_EQ(one_by_one.counted, 24);
  for (const int64_t batch : {2, 7, 16, 23, 24, 40}) {
    Job other = job;
    other.recipe.batch = batch;
    const data::Images images = data::synthetic({.h = 28, .w = 28, .c = 1, .classes = 10, .train = job.images, .test = 1}, 1).train;
    Session session({.backend = backend.get()});
    session.add(test::evaluation_graph(other), test::order_of(job), images);
    session.place();
    session.write_weights(test::initial_weights(job.network, 1));
    for (int pass = 0; pass < 2; ++pass) {  // the first leaves nothing behind
      const Scores scores = evaluate(session, 0, job.images, batch);
      EXPECT_EQ(scores.counted, 24) << batch;
      EXPECT_EQ(scores.accuracy, one_by_one.accuracy) << batch;
      EXPECT_NEAR(scores.loss, one_by_one.loss, 1e-6 * one_by_one.loss) << batch;
    }
  }
}

TEST(Evaluate, RefusesToScoreWeightsThatAreNotNumbers) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  const Job job = job_of(model::load_network("softmax"), 8);
  test::Training training(job, {.backend = backend.get()});
  training.session.plan(0).tensor("linear1.bias").as<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  data::error_text(ExitCode::numeric, [&] { evaluate(training.session, 1, job.images, 8); });
}

TEST(Scores, OfNothingAreNotZero) { EXPECT_TRUE(std::isnan(scores_of({}).loss)); }

// Every image of an epoch once, those of the last partial batch included.
TEST(TrainingSteps, GatherEveryImageOfTheEpochOnce) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  Job job = job_of(model::load_network("softmax"), 10);
  data::Images images = data::synthetic({.h = 28, .w = 28, .c = 1, .classes = 10, .train = job.images, .test = 1}, 1).train;
  for (size_t i = 0; i < images.labels.size(); ++i) images.labels[i] = static_cast<int32_t>(i);  // so that labels name images
  Session session({.backend = backend.get()});
  session.add(test::training_graph(job), test::order_of(job), images);
  session.add(test::training_graph(job, 4), test::order_of(job), images);
  session.place();
  std::vector<int32_t> gathered;
  for (const int64_t position : {0, 10, 20}) {
    StepControl control;
    control.images = 24;
    control.position = static_cast<uint64_t>(position);
    session.write_control(control);
    const plan::Plan& plan = session.plan(position < 20 ? 0 : 1);
    plan.steps()[0].kernel->run(session.stream());
    const std::span<int32_t> labels = plan.tensor("data.augment.1").as<int32_t>();
    gathered.insert(gathered.end(), labels.begin(), labels.end());
  }
  EXPECT_FALSE(std::is_sorted(gathered.begin(), gathered.end()));
  std::sort(gathered.begin(), gathered.end());
  EXPECT_EQ(gathered, images.labels);
}

// Counts what is allocated.
class CountingDevice final : public Device {
 public:
  std::string name() const override { return host_->name(); }
  std::string platform() const override { return host_->platform(); }
  std::unique_ptr<Stream> make_stream() override { return host_->make_stream(); }
  std::unique_ptr<Memory> allocate(size_t bytes) override {
    allocated += bytes;
    return host_->allocate(bytes);
  }
  std::unique_ptr<Memory> resident(std::span<const std::byte> host, Stream& stream) override {
    allocated += host.size();
    return host_->resident(host, stream);
  }
  void upload(void* to, const void* from, size_t bytes, Stream& stream) override { host_->upload(to, from, bytes, stream); }
  void download(void* to, const void* from, size_t bytes, Stream& stream) override { host_->download(to, from, bytes, stream); }
  void fill(void* to, std::byte value, size_t bytes, Stream& stream) override { host_->fill(to, value, bytes, stream); }
  MemoryStatus memory_status() const override { return host_->memory_status(); }

  size_t allocated = 0;

 private:
  std::unique_ptr<Device> host_ = make_host_device();
};

class CountingBackend final : public eigen::EigenBackend {
 public:
  Device& device() override { return counting; }
  CountingDevice counting;
};

TEST(Session, HoldsTheMemoryThatItSaysAndNoMoreLater) {
  CountingBackend backend;
  test::Training training(job_of(model::load_network("lenet5"), 8), {.backend = &backend});
  const size_t images = 24 * (28 * 28 + sizeof(int32_t));  // once, though two plans gather from them
  const plan::ArenaBytes arenas = plan::largest(training.session.plan(0).arena_bytes(), training.session.plan(1).arena_bytes());
  EXPECT_EQ(training.session.bytes(), plan::total(arenas) + images);
  EXPECT_EQ(backend.counting.allocated, training.session.bytes());
  training.steps(3);
  evaluate(training.session, 1, 24, 8);
  EXPECT_EQ(backend.counting.allocated, training.session.bytes());
}

TEST(Session, RefusesWeightsOfAnotherShape) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  test::Training training(job_of(model::load_network("softmax"), 8), {.backend = backend.get()});
  std::vector<io::NamedTensor> weights = test::initial_weights(model::load_network("lenet5"), 1);
  weights.resize(1);
  weights[0].name = "linear1.weight";
  data::error_text(ExitCode::data, [&] { training.session.write_weights(weights); });
}

}  // namespace
}  // namespace fovea::train
