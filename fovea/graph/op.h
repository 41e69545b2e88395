// The closed list of operators: attributes, types and shapes; no pointers, no behaviour.
// Behind each: the tensors that a kernel is bound to, in this order. A gradient operator says whether it overwrites or adds.
// Letters: n h w c input, k r s filter, p q output; x w b y values, dx dw db dy their gradients, t targets.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fovea/tensor/dtype.h"
#include "fovea/tensor/shape.h"

namespace fovea {

struct Types {
  DType x = DType::f32, w = DType::f32, y = DType::f32, accumulator = DType::f32;
  bool operator==(const Types&) const = default;
};

enum class Into : uint8_t { overwrite, add };  // what a gradient operator does with what stands in its output

// What changes from step to step, in device memory so that a recorded step can be replayed.
struct StepControl {
  uint64_t seed = 0;
  uint64_t position = 0;  // place in the epoch's order of the first image of this step
  uint64_t images = 0;    // images of the pass: places at or beyond it are padding, with an ignored label
  uint32_t epoch = 0;
  uint32_t step = 0;  // updates done before this one, since the start of training
  float learning_rate = 0;
  uint32_t padding = 0;
};

// Accumulated on the device, read by the host every so often.
struct Metrics {
  double loss_sum = 0;   // of the counted images
  uint64_t counted = 0;  // images whose label is not ignored
  uint64_t correct = 0;
  uint64_t non_finite = 0;  // images whose loss is NaN or infinite; while it is above 0, Update changes nothing
};

inline constexpr int32_t ignored_label = -1;

// A window that slides over the two image axes.
struct Window {
  int64_t r = 1, s = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  int64_t dilation_h = 1, dilation_w = 1;

  int64_t output_h(int64_t h) const { return (h + pad_top + pad_bottom - dilation_h * (r - 1) - 1) / stride_h + 1; }
  int64_t output_w(int64_t w) const { return (w + pad_left + pad_right - dilation_w * (s - 1) - 1) / stride_w + 1; }
  bool operator==(const Window&) const = default;
};

struct Conv2dShape {
  int64_t n = 1, h = 1, w = 1, c = 1, k = 1;
  Window window;
  int64_t groups = 1;

  int64_t p() const { return window.output_h(h); }
  int64_t q() const { return window.output_w(w); }
  Shape x() const { return {n, h, w, c}; }
  Shape filter() const { return {k, window.r, window.s, c / groups}; }
  Shape y() const { return {n, p(), q(), k}; }
  int64_t macs() const { return n * p() * q() * k * window.r * window.s * (c / groups); }
  bool operator==(const Conv2dShape&) const = default;
};

struct PoolShape {
  int64_t n = 1, h = 1, w = 1, c = 1;
  Window window;

  int64_t p() const { return window.output_h(h); }
  int64_t q() const { return window.output_w(w); }
  Shape x() const { return {n, h, w, c}; }
  Shape y() const { return {n, p(), q(), c}; }
  bool operator==(const PoolShape&) const = default;
};

struct LinearShape {
  int64_t n = 1, c = 1, k = 1;
  Shape x() const { return {n, c}; }
  Shape weight() const { return {k, c}; }
  Shape y() const { return {n, k}; }
  bool operator==(const LinearShape&) const = default;
};

// ---- data ----

enum class Order : uint8_t { sequential, shuffled };
enum class Mirror : uint8_t { none, random };

// Gathers n images by the epoch's order, crops them at random out of their zero-padded selves, mirrors and normalises them.
// y = (x / 255 - mean[c]) / deviation[c]; padding is zero before normalisation's shift, that is, black.
struct Augment {
  static constexpr std::string_view name = "augment";
  int64_t n = 1, h = 1, w = 1, c = 1;  // of the output; h and w are those of the stored images
  int64_t images = 1;                  // stored images
  Order order = Order::sequential;
  Mirror mirror = Mirror::none;
  int64_t crop_padding = 0;            // 0: no random crop
  int64_t first_sample = 0;            // of this micro-batch within the step
  std::vector<float> mean, deviation;  // per channel
  Types types;
};  // in: pixels (images, h, w, c) u8, labels (images) i32, StepControl   out: y (n, h, w, c), t (n) i32

// Changes the layout of an activation; only plan::compile inserts it.
struct Reorder {
  static constexpr std::string_view name = "reorder";
  Shape shape;  // (n, h, w, c)
  std::string from, to;
  DType dtype = DType::f32;
};  // in: x   out: y

// ---- layers ----

struct Conv2dForward {
  static constexpr std::string_view name = "conv2d_forward";
  Conv2dShape shape;
  Types types;
};  // in: x w   out: y
struct Conv2dBackwardData {
  static constexpr std::string_view name = "conv2d_backward_data";
  Conv2dShape shape;
  Into into = Into::overwrite;
  Types types;
};  // in: dy w   out: dx
struct Conv2dBackwardFilter {
  static constexpr std::string_view name = "conv2d_backward_filter";
  Conv2dShape shape;
  Into into = Into::overwrite;
  Types types;
};  // in: x dy   out: dw

struct BiasForward {
  static constexpr std::string_view name = "bias_forward";
  int64_t rows = 1, k = 1;
  Types types;
};  // in: x (rows, k), b (k)   out: y (rows, k)
struct BiasBackward {
  static constexpr std::string_view name = "bias_backward";
  int64_t rows = 1, k = 1;
  Into into = Into::overwrite;
  Types types;
};  // in: dy   out: db (k)

struct LinearForward {
  static constexpr std::string_view name = "linear_forward";
  LinearShape shape;
  Types types;
};  // in: x w   out: y = x w^T
struct LinearBackwardData {
  static constexpr std::string_view name = "linear_backward_data";
  LinearShape shape;
  Into into = Into::overwrite;
  Types types;
};  // in: dy w   out: dx = dy w
struct LinearBackwardFilter {
  static constexpr std::string_view name = "linear_backward_filter";
  LinearShape shape;
  Into into = Into::overwrite;
  Types types;
};  // in: x dy   out: dw = dy^T x

// The place of the maximum within its window, row-major; the first of several equal ones; NaN counts as the largest.
inline DType argmax_dtype(const Window& window) { return window.r * window.s <= 256 ? DType::u8 : DType::u16; }

struct MaxPoolForward {
  static constexpr std::string_view name = "max_pool_forward";
  PoolShape shape;
  Types types;
};  // in: x   out: y, argmax (n, p, q, c) of argmax_dtype (absent in evaluation)
struct MaxPoolBackward {
  static constexpr std::string_view name = "max_pool_backward";
  PoolShape shape;
  Into into = Into::overwrite;
  Types types;
};  // in: dy argmax   out: dx

enum class CountPadding : uint8_t { no, yes };  // whether an average divides by the whole window or by its part inside the image
struct AvgPoolForward {
  static constexpr std::string_view name = "avg_pool_forward";
  PoolShape shape;
  CountPadding count_padding = CountPadding::no;
  Types types;
};  // in: x   out: y
struct AvgPoolBackward {
  static constexpr std::string_view name = "avg_pool_backward";
  PoolShape shape;
  CountPadding count_padding = CountPadding::no;
  Into into = Into::overwrite;
  Types types;
};  // in: dy   out: dx

enum class Activation : uint8_t { relu, sigmoid, tanh };
std::string_view name_of(Activation activation);

struct ActivationForward {
  static constexpr std::string_view name = "activation_forward";
  Activation activation = Activation::relu;
  int64_t elements = 1;
  Types types;
};  // in: x   out: y
struct ActivationBackward {
  static constexpr std::string_view name = "activation_backward";
  Activation activation = Activation::relu;
  int64_t elements = 1;
  Into into = Into::overwrite;
  Types types;
};  // in: y dy   out: dx

// Another shape of the same memory: never a step of a plan.
struct Flatten {
  static constexpr std::string_view name = "flatten";
  Shape from;
};  // in: x (n, h, w, c)   out: y (n, h w c)

// y = x / (1 - rate) where bits(seed, layer, step, sample, element) >= rate, else 0. Srivastava et al., JMLR 2014, scaled in training.
struct DropoutForward {
  static constexpr std::string_view name = "dropout_forward";
  int64_t n = 1, elements = 1;  // per sample
  float rate = 0;
  uint32_t layer = 0;
  int64_t first_sample = 0;
  Types types;
};  // in: x, StepControl   out: y
struct DropoutBackward {
  static constexpr std::string_view name = "dropout_backward";
  DropoutForward forward;
  Into into = Into::overwrite;
};  // in: dy, StepControl   out: dx

// ---- loss ----

// loss = -sum_k target_k log softmax(x)_k, target = (1 - smoothing) onehot(t) + smoothing / k; 0 where t is ignored.
struct SoftmaxCrossEntropyForward {
  static constexpr std::string_view name = "softmax_cross_entropy_forward";
  int64_t n = 1, k = 1;
  float smoothing = 0;
  Types types;
};  // in: x (n, k), t (n) i32   out: loss (n) of types.y
// Gradient of (sum of losses) / divisor; divisor is the batch of the whole step, ignored labels included.
struct SoftmaxCrossEntropyBackward {
  static constexpr std::string_view name = "softmax_cross_entropy_backward";
  SoftmaxCrossEntropyForward forward;
  int64_t divisor = 1;
};  // in: x t   out: dx

// loss = max(x, 0) - x t' + log(1 + exp(-|x|)), t' = (1 - smoothing) t + smoothing / 2.
struct BinaryCrossEntropyForward {
  static constexpr std::string_view name = "binary_cross_entropy_forward";
  int64_t n = 1;
  float smoothing = 0;
  Types types;
};  // in: x (n, 1) logits, t (n) i32 in {0, 1}   out: loss (n)
struct BinaryCrossEntropyBackward {
  static constexpr std::string_view name = "binary_cross_entropy_backward";
  BinaryCrossEntropyForward forward;
  int64_t divisor = 1;
};  // in: x t   out: dx

// Adds a batch to Metrics. An image is correct if the first largest of its k logits is at t; with k = 1, if (x > 0) equals t.
struct Score {
  static constexpr std::string_view name = "score";
  int64_t n = 1, k = 1;
  Types types;
};  // in: x (n, k), t, loss (n)   out: Metrics

// ---- update ----

// g += decay w; m = momentum m + g; w -= rate (nesterov ? g + momentum m : m), as PyTorch's SGD.
struct Sgd {
  float momentum = 0;
  enum class Nesterov : uint8_t { no, yes } nesterov = Nesterov::no;
};
// g += decay w; m, v moments of g with bias correction. Kingma and Ba, ICLR 2015, algorithm 1 (epsilon outside the root).
struct Adam {
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
};
using UpdateRule = std::variant<Sgd, Adam>;
int moments_of(const UpdateRule& rule);  // tensors of state per parameter: 0 (plain SGD), 1, or 2 (Adam)

struct Update {
  static constexpr std::string_view name = "update";
  struct Parameter {
    int64_t elements = 1;
    float decay = 0;
    float rate_scale = 1;
  };
  UpdateRule rule;
  std::vector<Parameter> parameters;
  Types types;
};  // in: StepControl, Metrics, then dw of each parameter   out: w of each, then first moment of each, then second moment of each

using Op = std::variant<Augment, Reorder, Conv2dForward, Conv2dBackwardData, Conv2dBackwardFilter, BiasForward, BiasBackward, LinearForward,
                        LinearBackwardData, LinearBackwardFilter, MaxPoolForward, MaxPoolBackward, AvgPoolForward, AvgPoolBackward,
                        ActivationForward, ActivationBackward, Flatten, DropoutForward, DropoutBackward, SoftmaxCrossEntropyForward,
                        SoftmaxCrossEntropyBackward, BinaryCrossEntropyForward, BinaryCrossEntropyBackward, Score, Update>;

std::string_view name_of(const Op& op);
int64_t macs_of(const Op& op);  // multiply-accumulates of one run; 0 where there are none

// Throws Error (config) unless the window fits, groups divide, and every size is positive.
void validate(const Conv2dShape& shape);
void validate(const PoolShape& shape);

}  // namespace fovea
