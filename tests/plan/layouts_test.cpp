// A backend whose convolutions wish channels first, everywhere but in filters: where reorders stand, and that nothing else changes.
#include "fovea/plan/layouts.h"

#include <algorithm>
#include <map>

#include "fovea/backend/reference/backend.h"
#include "fovea/plan/dump.h"
#include "tests/data/data_folder.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

// The parent's kernel between transpositions of the images among its buffers.
class ChannelsFirst final : public Kernel {
 public:
  ChannelsFirst(const Op& op, KernelPtr inner, std::vector<size_t> images, size_t first_bytes)
      : Kernel("channels_first"), inner_(std::move(inner)), images_(std::move(images)), first_bytes_(first_bytes) {
    for (const graph::Type& type : graph::inputs_of(op)) in_.push_back({type.shape, {}});
    out_ = {graph::outputs_of(op)[0].shape, {}};
    filter_out_ = std::holds_alternative<Conv2dBackwardFilter>(op);
  }
  std::string algorithm() const override { return "loops between transpositions"; }
  Layout input_layout(size_t i) const override {
    return std::count(images_.begin(), images_.end(), i) > 0 ? Layout{"nchw", i == 0 ? first_bytes_ : 0} : Layout{};
  }
  Layout output_layout(size_t) const override { return filter_out_ ? Layout{} : Layout{"nchw", 0}; }

  void bind(Buffers buffers, void* workspace) override {
    outer_ = buffers;
    for (const size_t i : images_) buffers.in[i] = in_[i].tensor(outer_.in[i]);
    if (!filter_out_) buffers.out[0] = out_.tensor(outer_.out[0]);
    inner_->bind(std::move(buffers), workspace);
  }
  void run(Stream& stream) override {
    for (const size_t i : images_) in_[i].copy([&](size_t nhwc, size_t nchw) { in_[i].values[nhwc] = outer_.in[i].as<float>()[nchw]; });
    inner_->run(stream);
    if (!filter_out_) out_.copy([&](size_t nhwc, size_t nchw) { outer_.out[0].as<float>()[nchw] = out_.values[nhwc]; });
  }

 private:
  struct Image {
    Shape shape;  // (n, h, w, c)
    std::vector<float> values;
    Tensor tensor(const Tensor& outer) {
      EXPECT_EQ(outer.shape.elements(), shape.elements());
      values.resize(static_cast<size_t>(shape.elements()));
      return {values.data(), DType::f32, shape};
    }
    template <class Move>
    void copy(Move move) const {
      size_t nhwc = 0;
      for (int64_t n = 0; n < shape[0]; ++n)
        for (int64_t h = 0; h < shape[1]; ++h)
          for (int64_t w = 0; w < shape[2]; ++w)
            for (int64_t c = 0; c < shape[3]; ++c) move(nhwc++, static_cast<size_t>(((n * shape[3] + c) * shape[1] + h) * shape[2] + w));
    }
  };
  KernelPtr inner_;
  std::vector<size_t> images_;
  size_t first_bytes_;
  std::vector<Image> in_;
  Image out_;
  bool filter_out_ = false;
  Buffers outer_;
};

class ChannelsFirstBackend final : public reference::ReferenceBackend {
 public:
  explicit ChannelsFirstBackend(size_t filter_bytes = 0) : filter_bytes_(filter_bytes) {}
  std::string_view name() const override { return "channels_first"; }
  using ReferenceBackend::make;
  KernelPtr make(const Conv2dForward& op, const Limits& limits) override { return wrap(op, limits, {0}); }
  KernelPtr make(const Conv2dBackwardData& op, const Limits& limits) override { return wrap(op, limits, {0}); }
  KernelPtr make(const Conv2dBackwardFilter& op, const Limits& limits) override { return wrap(op, limits, {0, 1}, filter_bytes_); }

 private:
  template <class Convolution>
  KernelPtr wrap(const Convolution& op, const Limits& limits, std::vector<size_t> images, size_t first_bytes = 0) {
    return std::make_unique<ChannelsFirst>(op, ReferenceBackend::make(op, limits), std::move(images), first_bytes);
  }

  size_t filter_bytes_;  // that the filter's gradient wishes for x; 0: dense
};

// Not square, so that a wrong order of axes shows. Two neighbouring convolutions, then one behind an activation, then a flatten.
test::Job job() {
  test::Job job = test::job_of(model::parse_network(R"(
name = "net"
input = [7, 6, 2]
layers = [
  { conv2d = 4, kernel = 3, padding = 1, bias = false },
  { conv2d = 3, kernel = 3, bias = false },
  { activation = "relu" },
  { conv2d = 5, kernel = 2, bias = false },
  { flatten = true },
  { linear = 4 },
])",
                                                    "net.toml"),
                               3);
  job.recipe.learning_rate = 0.1;
  return job;
}

std::vector<std::string> steps_of(const Plan& plan) {
  std::vector<std::string> steps;
  for (const Step& step : plan.steps()) steps.push_back(step.name + " " + step.what);
  return steps;
}

TEST(Layouts, ReorderOnlyAtTheBorders) {
  ChannelsFirstBackend backend;
  const Plan plan = compile(test::evaluation_graph(job()), {.backend = &backend}, test::order_of(job()));
  const std::vector<std::string> expected = {"data augment",
                                             "conv1 reorder",  // data come as nhwc
                                             "conv1 conv2d_forward",
                                             "conv2 conv2d_forward",  // both agree
                                             "activation1 reorder",   // reads nhwc
                                             "activation1 activation_forward",
                                             "conv3 reorder",
                                             "conv3 conv2d_forward",
                                             "linear1 reorder",  // of a flat view
                                             "linear1 linear_forward",
                                             "linear1 bias_forward",
                                             "loss softmax_cross_entropy_forward",
                                             "score score"};
  EXPECT_EQ(steps_of(plan), expected);
  EXPECT_NE(test::words_of(dump(plan)).find("1 conv1 reorder reference loops (3, 7, 6, 2)"), std::string::npos) << dump(plan);
}

TEST(Layouts, AReorderedCopyIsMadeOnce) {
  ChannelsFirstBackend backend;
  const Plan plan = compile(test::training_graph(job()), {.backend = &backend}, test::order_of(job()));
  std::vector<std::string> reordered;
  for (const Step& step : plan.steps())
    if (step.what == "reorder") reordered.push_back(plan.graph().value(step.out[0]).name);
  std::vector<std::string> unique = reordered;
  std::sort(unique.begin(), unique.end());
  unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
  EXPECT_EQ(reordered.size(), unique.size());
  EXPECT_EQ(std::count(unique.begin(), unique.end(), "data.augment.nchw"), 1);  // for conv1's forward and its filter's gradient
}

TEST(Layouts, CopiesOfDifferentSizeAreNotShared) {
  const test::Job job = test::job_of(model::parse_network(R"(
name = "net"
input = [7, 6, 2]
layers = [
  { conv2d = 4, kernel = 3, bias = false },
  { flatten = true },
  { linear = 4 },
])",
                                                          "net.toml"),
                                     3);
  ChannelsFirstBackend backend(4096);
  const Plan plan = compile(test::training_graph(job), {.backend = &backend}, test::order_of(job));
  std::map<std::string, size_t> bytes;
  for (const Step& step : plan.steps())
    if (step.name == "conv1" && step.what.starts_with("conv2d")) bytes[step.what] = plan.placement(step.in[0]).bytes;
  const std::map<std::string, size_t> expected = {{"conv2d_forward", 3 * 7 * 6 * 2 * sizeof(float)}, {"conv2d_backward_filter", 4096}};
  EXPECT_EQ(bytes, expected);
}

// The loops are the same, so are the bits. The gradient that reaches conv3 is a view of linear1's flat one.
TEST(Layouts, ChangeNoBit) {
  ChannelsFirstBackend backend;
  reference::ReferenceBackend reference;
  for (const int64_t parts : {1, 2}) {
    test::Job split = job();
    split.recipe.micro_batches = parts;
    test::Training first(split, {.backend = &backend}), last(split, {.backend = &reference});
    EXPECT_EQ(first.steps(4), last.steps(4));
    EXPECT_EQ(first.weights(), last.weights());
    EXPECT_EQ(train::evaluate(first.session, 1, 24, 3).loss, train::evaluate(last.session, 1, 24, 3).loss);
  }
}

}  // namespace
}  // namespace fovea::plan
