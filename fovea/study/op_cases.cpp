// The table of operator cases: odd sizes, unequal strides, one-sided padding, groups, single pixels, and the layers of the shipped
// networks.
#include "fovea/study/op_cases.h"

#include <fmt/format.h>

#include "fovea/graph/graph.h"
#include "fovea/graph/work.h"
#include "fovea/study/case_families.h"

namespace fovea::study {
namespace {

Window square(int64_t size, int64_t stride = 1, int64_t padding = 0) {
  return {.r = size,
          .s = size,
          .stride_h = stride,
          .stride_w = stride,
          .pad_top = padding,
          .pad_bottom = padding,
          .pad_left = padding,
          .pad_right = padding};
}

void add_convolutions(std::vector<OpCase>& cases) {
  const std::vector<Conv2dShape> shapes = {
      {.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .window = {}},               // one product
      {.n = 3, .h = 1, .w = 1, .c = 17, .k = 5, .window = {}},              // a linear layer in disguise
      {.n = 2, .h = 1, .w = 1, .c = 3, .k = 4, .window = square(3, 1, 1)},  // all but the centre is padding
      {.n = 2, .h = 7, .w = 5, .c = 16, .k = 17, .window = {}},             // 1x1
      {.n = 2, .h = 7, .w = 5, .c = 5, .k = 3, .window = square(1, 2)},     // 1x1 that skips pixels
      {.n = 2, .h = 7, .w = 5, .c = 3, .k = 16, .window = square(3, 1, 1)},
      {.n = 1, .h = 9, .w = 11, .c = 1, .k = 5, .window = square(3)},
      {.n = 2, .h = 11, .w = 8, .c = 3, .k = 4, .window = square(3, 2, 1)},
      {.n = 2, .h = 13, .w = 10, .c = 5, .k = 3, .window = square(3, 3, 1)},
      {.n = 2, .h = 9, .w = 9, .c = 3, .k = 3, .window = square(2, 3)},       // stride larger than the window
      {.n = 1, .h = 12, .w = 12, .c = 3, .k = 5, .window = square(7, 2, 3)},  // the stem of a ResNet
      {.n = 2, .h = 6, .w = 6, .c = 4, .k = 6, .window = square(4, 2, 1)},    // even window
      {.n = 2, .h = 3, .w = 3, .c = 2, .k = 3, .window = square(3, 1, 4)},    // outputs that see only padding
      {.n = 2, .h = 8, .w = 7, .c = 3, .k = 5, .window = {.r = 3, .s = 1, .stride_h = 2, .pad_top = 1}},
      {.n = 2, .h = 7, .w = 8, .c = 3, .k = 5, .window = {.r = 1, .s = 4, .stride_w = 3, .pad_right = 2}},
      {.n = 2, .h = 8, .w = 9, .c = 2, .k = 3, .window = {.r = 2, .s = 3, .stride_h = 1, .stride_w = 2, .pad_bottom = 1, .pad_left = 2}},
      {.n = 1,
       .h = 9,
       .w = 6,
       .c = 3,
       .k = 2,
       .window = {.r = 5, .s = 2, .stride_h = 3, .stride_w = 1, .pad_top = 2, .pad_bottom = 1, .pad_right = 1}},
      {.n = 2,
       .h = 11,
       .w = 9,
       .c = 3,
       .k = 4,
       .window = {.r = 3, .s = 3, .pad_top = 2, .pad_bottom = 2, .pad_left = 2, .pad_right = 2, .dilation_h = 2, .dilation_w = 2}},
      {.n = 1,
       .h = 10,
       .w = 8,
       .c = 4,
       .k = 3,
       .window = {.r = 3, .s = 2, .stride_h = 2, .stride_w = 3, .pad_left = 1, .dilation_h = 1, .dilation_w = 2}},
      {.n = 2, .h = 7, .w = 7, .c = 4, .k = 6, .window = square(3, 1, 1), .groups = 2},
      {.n = 2, .h = 7, .w = 6, .c = 5, .k = 5, .window = square(3, 2, 1), .groups = 5},  // depthwise
      {.n = 2, .h = 6, .w = 5, .c = 83, .k = 83, .window = square(3, 1, 1), .groups = 83},
      {.n = 1, .h = 9, .w = 8, .c = 64, .k = 64, .window = square(3, 2, 1), .groups = 64},
      {.n = 1,
       .h = 9,
       .w = 7,
       .c = 35,
       .k = 35,
       .window = {.r = 3, .s = 2, .stride_h = 1, .stride_w = 2, .pad_top = 1, .pad_left = 2, .dilation_h = 2, .dilation_w = 3},
       .groups = 35},
      {.n = 2, .h = 6, .w = 7, .c = 3, .k = 9, .window = square(3, 1, 1), .groups = 3},  // depthwise with three filters per channel
      {.n = 1, .h = 8, .w = 8, .c = 16, .k = 16, .window = square(5, 1, 2), .groups = 16},
      {.n = 2, .h = 9, .w = 8, .c = 33, .k = 33, .window = square(3, 2, 1), .groups = 33},
      {.n = 1, .h = 1, .w = 1, .c = 18, .k = 18, .window = square(3, 1, 1), .groups = 18},  // depthwise on one pixel
      {.n = 1, .h = 11, .w = 10, .c = 64, .k = 64, .window = square(3, 1, 1), .groups = 64},
      {.n = 1,
       .h = 9,
       .w = 12,
       .c = 20,
       .k = 20,
       .window = {.r = 3, .s = 3, .stride_h = 2, .pad_top = 2, .pad_left = 1, .dilation_h = 2, .dilation_w = 3},
       .groups = 20},
      {.n = 2, .h = 15, .w = 14, .c = 132, .k = 132, .window = square(5, 2, 2), .groups = 132},
      {.n = 5, .h = 6, .w = 5, .c = 17, .k = 33, .window = square(3, 1, 1)},
      {.n = 1, .h = 5, .w = 70, .c = 8, .k = 8, .window = square(3, 1, 1)},  // a long row
      {.n = 2, .h = 24, .w = 25, .c = 5, .k = 7, .window = {}},              // more pixels than one block of any backend
      {.n = 2, .h = 24, .w = 25, .c = 6, .k = 6, .window = square(3, 1, 1), .groups = 3},
      {.n = 1, .h = 150, .w = 149, .c = 4, .k = 128, .window = {}},  // many pixels: the larger tiles of a GPU
      {.n = 1, .h = 128, .w = 127, .c = 1, .k = 31, .window = {}},
      {.n = 1, .h = 80, .w = 81, .c = 1, .k = 47, .window = {}},
      {.n = 2, .h = 128, .w = 129, .c = 40, .k = 8, .window = {}},
      {.n = 1, .h = 256, .w = 255, .c = 20, .k = 8, .window = {}},
  };
  for (const Conv2dShape& shape : shapes) add_conv2d(cases, shape);
  // Images enough for parts of several, and filters enough for slices.
  add_conv2d(cases, {.n = 17, .h = 9, .w = 8, .c = 16, .k = 128, .window = square(3, 1, 1)}, "many images");
  add_conv2d(cases, {.n = 32, .h = 6, .w = 7, .c = 20, .k = 128, .window = square(3, 2, 1)}, "many images");
  add_conv2d(cases, {.n = 16, .h = 5, .w = 4, .c = 48, .k = 128, .window = square(1, 1)}, "many images");
  add_conv2d(cases, {.n = 3, .h = 28, .w = 28, .c = 1, .k = 6, .window = square(5, 1, 2)}, "lenet5 conv1");
  add_conv2d(cases, {.n = 3, .h = 14, .w = 14, .c = 6, .k = 16, .window = square(5)}, "lenet5 conv2");
  add_conv2d(cases, {.n = 2, .h = 32, .w = 32, .c = 3, .k = 32, .window = square(3, 1, 1)}, "cifar_cnn conv1");
  add_conv2d(cases, {.n = 1, .h = 16, .w = 16, .c = 32, .k = 64, .window = square(3, 1, 1)}, "cifar_cnn conv3");
  add_conv2d(cases, {.n = 1, .h = 8, .w = 8, .c = 64, .k = 128, .window = square(3, 1, 1)}, "cifar_cnn conv5");
}

void add_pools(std::vector<OpCase>& cases) {
  const std::vector<PoolShape> shapes = {
      {.n = 1, .h = 1, .w = 1, .c = 1, .window = {}},
      {.n = 2, .h = 6, .w = 8, .c = 16, .window = square(2, 2)},
      {.n = 2, .h = 7, .w = 5, .c = 3, .window = square(2, 2)},  // a row and a column left over
      {.n = 2, .h = 7, .w = 9, .c = 5, .window = square(3, 2)},  // overlapping
      {.n = 1, .h = 8, .w = 7, .c = 17, .window = square(3, 2, 1)},
      {.n = 3, .h = 5, .w = 5, .c = 3, .window = square(3, 1, 1)},
      {.n = 2, .h = 9, .w = 8, .c = 3, .window = square(2, 3)},  // stride larger than the window
      {.n = 2, .h = 7, .w = 7, .c = 5, .window = square(7)},     // the whole image
      {.n = 2, .h = 9, .w = 7, .c = 3, .window = {.r = 3, .s = 2, .stride_h = 1, .stride_w = 3, .pad_top = 2, .pad_right = 1}},
      {.n = 2, .h = 9, .w = 9, .c = 2, .window = {.r = 2, .s = 3, .stride_h = 2, .dilation_h = 2, .dilation_w = 2}},
      {.n = 1, .h = 18, .w = 19, .c = 2, .window = square(17)},                              // places beyond 255: argmax in u16
      {.n = 2, .h = 7, .w = 6, .c = 5, .window = square(2, 2), .rounding = Rounding::ceil},  // hangs over in one direction
      {.n = 2, .h = 6, .w = 8, .c = 17, .window = square(3, 2), .rounding = Rounding::ceil},
      {.n = 1, .h = 8, .w = 7, .c = 3, .window = square(3, 2, 1), .rounding = Rounding::ceil},  // over its padding too
      {.n = 2, .h = 8, .w = 7, .c = 3, .window = square(2, 3), .rounding = Rounding::ceil},
      {.n = 1, .h = 5, .w = 5, .c = 4, .window = square(2, 4, 1), .rounding = Rounding::ceil},  // no window begins beyond the image
      {.n = 3, .h = 1, .w = 1, .c = 6, .window = square(2, 2), .rounding = Rounding::ceil},     // larger than the image
  };
  for (const PoolShape& shape : shapes) {
    add_max_pool(cases, shape);
    add_avg_pool(cases, shape, CountPadding::no);
    add_avg_pool(cases, shape, CountPadding::yes);
  }
  add_max_pool(cases, {.n = 3, .h = 32, .w = 32, .c = 32, .window = square(2, 2)}, "cifar_cnn pool1");
  add_max_pool(cases, {.n = 7, .h = 28, .w = 27, .c = 6, .window = square(3, 2, 1)}, "several threads");
  add_avg_pool(cases, {.n = 7, .h = 21, .w = 20, .c = 17, .window = square(3, 2, 1)}, CountPadding::no, "several threads");
  add_avg_pool(cases, {.n = 3, .h = 28, .w = 28, .c = 6, .window = square(2, 2)}, CountPadding::no, "lenet5 pool1");
}

void add_matrix_products(std::vector<OpCase>& cases) {
  const std::vector<LinearShape> shapes = {{1, 1, 1}, {1, 17, 5}, {5, 3, 1}, {4, 16, 16}, {7, 33, 17}, {64, 5, 3}};
  for (const LinearShape& shape : shapes) add_linear(cases, shape);
  add_linear(cases, {8, 400, 120}, "lenet5 linear1");
  add_linear(cases, {8, 84, 10}, "lenet5 linear3");
  const std::vector<std::pair<int64_t, int64_t>> sizes = {{1, 1}, {1, 17}, {35, 3}, {64, 16}, {1000, 5}, {3 * 28 * 28, 6}, {701, 70}};
  for (const auto& [rows, k] : sizes) add_bias(cases, rows, k);
}

void add_elementwise(std::vector<OpCase>& cases) {
  const auto add = [&](const Op& op, const std::string& text, Exactness exactness) {
    OpCase added;
    added.name = fmt::format("{} {}", name_of(op), text);
    added.op = op;
    added.exactness = exactness;
    added.control = {.seed = 0x123456789abcdef, .step = 7};
    cases.push_back(std::move(added));
  };
  for (const int64_t elements : {1, 7, 1023, 30001}) add(Convert{elements, {}}, fmt::format("{}", elements), Exactness::yes);
  const std::vector<std::pair<Activation, float>> activations = {
      {Activation::relu, 0},           {Activation::sigmoid, 0}, {Activation::tanh, 0},      {Activation::leaky_relu, 0.01f},
      {Activation::leaky_relu, 0.25f}, {Activation::gelu, 0},    {Activation::gelu_tanh, 0}, {Activation::silu, 0}};
  for (const auto& [activation, slope] : activations)
    for (const int64_t elements : {1, 7, 64, 1023, 30001}) {  // the last one for several threads, here and below
      const bool exact = activation == Activation::relu || slope == 0.25f;
      const Exactness exactness = exact ? Exactness::yes : Exactness::no;
      const std::string text = fmt::format("{}{} {}", name_of(activation), slope > 0 ? fmt::format(" {}", slope) : "", elements);
      add(ActivationForward{activation, elements, {}, slope}, text, exactness);
      add(ActivationBackward{activation, elements, Into::overwrite, {}, slope}, text, exactness);
      add(ActivationBackward{activation, elements, Into::add, {}, slope}, text + " add", exactness);
    }
  for (const float rate : {0.0f, 0.3f, 0.5f, 0.9f})
    for (const auto& [n, elements] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 17}, {5, 128}, {19, 701}}) {
      const DropoutForward forward = {.n = n, .elements = elements, .rate = rate, .layer = 5, .first_sample = 11, .types = {}};
      const Exactness exactness = rate == 0.0f || rate == 0.5f ? Exactness::yes : Exactness::no;
      const std::string text = fmt::format("{}x{} rate {}", n, elements, rate);
      add(forward, text, exactness);
      add(DropoutBackward{forward, Into::overwrite}, text, exactness);
      add(DropoutBackward{forward, Into::add}, text + " add", exactness);
    }
}

void add_losses(std::vector<OpCase>& cases) {
  for (const Labels labels : {Labels::all_counted, Labels::some_ignored}) {
    const auto add = [&](const Op& op, const std::string& text, Exactness exactness) {
      OpCase added;
      added.name = fmt::format("{} {}{}", name_of(op), text, labels == Labels::some_ignored ? " some ignored" : "");
      added.op = op;
      added.exactness = exactness;
      added.labels = labels;
      added.metrics = {.loss_sum = 2.5, .counted = 4, .correct = 3, .non_finite = 0};
      cases.push_back(std::move(added));
    };
    for (const float smoothing : {0.0f, 0.1f}) {
      for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{{1, 2}, {9, 10}, {33, 17}, {5, 1000}}) {
        const SoftmaxCrossEntropyForward forward = {.n = n, .k = k, .smoothing = smoothing, .types = {}};
        const std::string text = fmt::format("{}x{} smoothing {}", n, k, smoothing);
        add(forward, text, Exactness::no);
        add(SoftmaxCrossEntropyBackward{forward, 3 * n}, text, Exactness::no);
      }
      for (const int64_t n : {1, 13, 64, 701}) {
        const BinaryCrossEntropyForward forward = {.n = n, .smoothing = smoothing, .types = {}};
        const std::string text = fmt::format("{} smoothing {}", n, smoothing);
        add(forward, text, Exactness::no);
        add(BinaryCrossEntropyBackward{forward, 2 * n}, text, Exactness::no);
      }
    }
    const SoftmaxCrossEntropyForward weighted = {.n = 21, .k = 3, .smoothing = 0.1f, .types = {}, .class_weights = {0.25f, 1, 0}};
    add(weighted, "21x3 weighted", Exactness::no);
    add(SoftmaxCrossEntropyBackward{weighted, 21}, "21x3 weighted", Exactness::no);
    const BinaryCrossEntropyForward two_weights = {.n = 19, .smoothing = 0.1f, .types = {}, .class_weights = {1, 0.125f}};
    add(two_weights, "19 weighted", Exactness::no);
    add(BinaryCrossEntropyBackward{two_weights, 19}, "19 weighted", Exactness::no);
    for (const int64_t k : {1, 2, 10, 17}) add(Score{.n = 37, .k = k, .types = {}}, fmt::format("37x{}", k), Exactness::yes);
    add(Score{.n = 1501, .k = 10, .types = {}}, "1501x10", Exactness::yes);
  }
}

void add_data(std::vector<OpCase>& cases) {
  const auto add = [&](const Op& op, const std::string& text, const StepControl& control) {
    OpCase added;
    added.name = fmt::format("{} {}", name_of(op), text);
    added.op = op;
    added.exactness = Exactness::yes;
    added.control = control;
    cases.push_back(std::move(added));
  };
  const StepControl inside = {.seed = 42, .position = 3, .images = 23, .epoch = 2};
  const StepControl at_end = {.seed = 43, .position = 19, .images = 23, .epoch = 0};  // the batch is filled up with padding
  const std::vector<float> mean = {0.4914f, 0.4822f, 0.4465f}, deviation = {0.2470f, 0.2435f, 0.2616f};
  for (const Order order : {Order::sequential, Order::shuffled})
    for (const Mirror mirror : {Mirror::none, Mirror::random})
      for (const int64_t crop : {0, 3})
        for (const StepControl& control : {inside, at_end}) {
          const std::string text =
              fmt::format("{}{}{}{}", order == Order::shuffled ? "shuffled" : "sequential", mirror == Mirror::random ? " mirror" : "",
                          crop > 0 ? " crop" : "", control.position == at_end.position ? " beyond the end" : "");
          add(Augment{7, 6, 5, 3, 23, order, mirror, crop, 0, mean, deviation, {}}, "7x6x5x3 " + text, control);
          add(Augment{4, 9, 8, 1, 23, order, mirror, crop, 2, {0.1307f}, {0.3081f}, {}}, "4x9x8x1 second micro-batch " + text, control);
        }
  add(Augment{19, 20, 18, 3, 23, Order::shuffled, Mirror::random, 3, 0, mean, deviation, {}}, "19x20x18x3 beyond the end", at_end);
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{9, 8, 11, 17}, Shape{2, 5, 7, 3}, Shape{3, 8, 8, 17}}) {
    add(Reorder{shape, "nhwc", "nchw", DType::f32}, fmt::format("{} to nchw", shape.text()), {});
    add(Reorder{shape, "nchw", "nhwc", DType::f32}, fmt::format("{} to nhwc", shape.text()), {});
  }
}

}  // namespace

std::vector<OpCase> op_cases() {
  std::vector<OpCase> cases;
  add_data(cases);
  add_convolutions(cases);
  add_matrix_products(cases);
  add_pools(cases);
  add_elementwise(cases);
  add_batch_norms(cases);
  add_joins(cases);
  add_losses(cases);
  add_updates(cases);
  return cases;
}

OpCase in_precision(OpCase op_case, const graph::Precision& precision) {
  op_case.op = graph::in_precision(std::move(op_case.op), precision);
  Update* update = std::get_if<Update>(&op_case.op);
  if (update != nullptr && precision.has_working_copies())
    for (size_t i = 0; i < update->parameters.size(); i += 2) update->parameters[i].working = Update::Working::copy;
  return op_case;
}

Op with_types(Op op, const Types& types) {
  std::visit(
      [&](auto& o) {
        if constexpr (requires { o.types; }) o.types = types;
        if constexpr (requires { o.forward.types; }) o.forward.types = types;
        if constexpr (requires { o.dtype; }) o.dtype = types.x;
      },
      op);
  return op;
}

Op with_into(Op op, Into into) {
  std::visit(
      [&](auto& o) {
        if constexpr (requires { o.into; }) o.into = into;
      },
      op);
  return op;
}

bool adds_into_output(const Op& op) {
  for (size_t i = 0; i < graph::outputs_of(op).size(); ++i)
    if (graph::adds_into(op, i)) return true;
  return false;
}

}  // namespace fovea::study
