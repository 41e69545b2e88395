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

// How the factors of convolutions and matrix products, in f32, are multiplied: as they are, or rounded to the 11 significant bits of TF32
// first, which a backend may do but need not.
enum class Products : uint8_t { exact, tf32 };

// precision.h says which operator has which.
struct Types {
  DType x = DType::f32, w = DType::f32, y = DType::f32, accumulator = DType::f32;
  Products products = Products::exact;
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
  uint32_t padding[3] = {};  // tensors of structs are told apart by their size

  bool operator==(const StepControl&) const = default;
  // What stands here after `steps` updates that move it on by so many images each.
  StepControl after(int64_t steps, int64_t images_of_each) const {
    StepControl later = *this;
    later.position += static_cast<uint64_t>(steps * images_of_each);
    later.step += static_cast<uint32_t>(steps);
    return later;
  }
};

// Accumulated on the device, read by the host every so often.
struct Metrics {
  double loss_sum = 0;   // of the counted images
  uint64_t counted = 0;  // images whose label is not ignored
  uint64_t correct = 0;
  uint64_t non_finite = 0;  // losses of images, and steps with a gradient, that are NaN or infinite; above 0, Update changes nothing
  uint64_t left_out = 0;    // 1 + StepControl::step of the first Update that changed nothing; 0: none
};

// Of training in fp16: the gradient of the loss is multiplied by `scale`, so that small ones do not vanish on their way, and the gradients
// of the parameters are divided by it where they are used. Micikevicius et al., "Mixed precision training", ICLR 2018. backend/loss_scale.h
// says how it changes.
struct LossScale {
  float scale = 65536;
  uint32_t good_steps = 0;  // updates since it last changed
  uint32_t left_out = 0;    // updates that changed nothing but the scale, since the start of training
  uint32_t overflow = 0;    // within an update: a gradient is not finite
};
enum class Scaling : uint8_t { none, dynamic };
static_assert(sizeof(StepControl) != sizeof(Metrics) && sizeof(LossScale) != sizeof(Metrics) && sizeof(LossScale) != sizeof(StepControl));

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
  Window window = {};
  int64_t groups = 1;

  int64_t p() const { return window.output_h(h); }
  int64_t q() const { return window.output_w(w); }
  Shape x() const { return {n, h, w, c}; }
  Shape filter() const { return {k, window.r, window.s, c / groups}; }
  Shape y() const { return {n, p(), q(), k}; }
  int64_t macs() const { return n * p() * q() * k * window.r * window.s * (c / groups); }
  bool operator==(const Conv2dShape&) const = default;
};

// Whether outputs whose window hangs over the end of the padded image count: up to stride - 1 rows and columns more of them are read with
// `ceil`, but none whose window would begin beyond the image and its padding before it.
enum class Rounding : uint8_t { floor, ceil };

struct PoolShape {
  int64_t n = 1, h = 1, w = 1, c = 1;
  Window window;
  Rounding rounding = Rounding::floor;

  int64_t p() const { return outputs({h, window.pad_top, window.pad_bottom, window.dilation_h * (window.r - 1) + 1, window.stride_h}); }
  int64_t q() const { return outputs({w, window.pad_left, window.pad_right, window.dilation_w * (window.s - 1) + 1, window.stride_w}); }
  Shape x() const { return {n, h, w, c}; }
  Shape y() const { return {n, p(), q(), c}; }
  bool operator==(const PoolShape&) const = default;

 private:
  struct Axis {
    int64_t size, before, after, span, stride;
  };
  int64_t outputs(const Axis& axis) const {
    const int64_t room = axis.size + axis.before + axis.after - axis.span;
    if (rounding == Rounding::floor) return room / axis.stride + 1;
    const int64_t last = (room + axis.stride - 1) / axis.stride;
    return last * axis.stride < axis.size + axis.before ? last + 1 : last;
  }
};

// He et al., CVPR 2016, option A: every stride-th pixel, and new channels of zeros, half of them before the old ones and half behind.
struct ShortcutShape {
  int64_t n = 1, h = 1, w = 1, c = 1, k = 1;  // k >= c
  int64_t stride = 1;

  int64_t p() const { return (h - 1) / stride + 1; }
  int64_t q() const { return (w - 1) / stride + 1; }
  int64_t first() const { return (k - c) / 2; }  // channel of y where those of x begin
  Shape x() const { return {n, h, w, c}; }
  Shape y() const { return {n, p(), q(), k}; }
  bool operator==(const ShortcutShape&) const = default;
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

// The same numbers in another type, rounded once.
struct Convert {
  static constexpr std::string_view name = "convert";
  int64_t elements = 1;
  Types types;
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

// What an average is divided by: the part of the window inside the image, or that inside the image and its padding. What hangs over
// beyond the padding (Rounding::ceil) never counts.
enum class CountPadding : uint8_t { no, yes };
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

// Batch normalisation over all rows, per channel. Ioffe and Szegedy, ICML 2015, algorithm 1:
// y = scale (x - mean) / sqrt(variance + epsilon) + shift, with the biased variance: sum (x - mean)^2 / rows.
struct BatchNormForward {
  static constexpr std::string_view name = "batch_norm_forward";
  int64_t rows = 1, c = 1;
  float epsilon = 1e-5f;
  Types types;
};  // in: x (rows, c), scale (c), shift (c)   out: y (rows, c), mean (c), variance (c)
// The same with given statistics.
struct BatchNormInference {
  static constexpr std::string_view name = "batch_norm_inference";
  int64_t rows = 1, c = 1;
  float epsilon = 1e-5f;
  Types types;
};  // in: x (rows, c), scale, shift, mean, variance (c)   out: y (rows, c)
// With g = dy and xhat = (x - mean) / sqrt(variance + epsilon): dshift = sum g, dscale = sum g xhat,
// dx = scale / sqrt(variance + epsilon) (g - dshift / rows - xhat dscale / rows), with the sums of these rows alone even if they are added.
struct BatchNormBackward {
  static constexpr std::string_view name = "batch_norm_backward";
  int64_t rows = 1, c = 1;
  float epsilon = 1e-5f;
  Into into = Into::overwrite;                                      // of dx
  Into into_scale = Into::overwrite, into_shift = Into::overwrite;  // of dscale and dshift
  Types types;
};  // in: x dy (rows, c), scale, mean, variance (c)   out: dx (rows, c), dscale, dshift (c)

// gelu: x Phi(x), by the error function; gelu_tanh: x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). Hendrycks and Gimpel, 2016.
// silu: x sigmoid(x). leaky_relu: x > 0 ? x : slope x. Maas et al., ICML 2013.
enum class Activation : uint8_t { relu, sigmoid, tanh, leaky_relu, gelu, gelu_tanh, silu };
std::string_view name_of(Activation activation);
bool gradient_reads_input(Activation activation);  // x, where y does not tell the gradient: gelu, gelu_tanh, silu

struct ActivationForward {
  static constexpr std::string_view name = "activation_forward";
  Activation activation = Activation::relu;
  int64_t elements = 1;
  Types types;
  float slope = 0;  // of leaky_relu; at least 0
};                  // in: x   out: y
struct ActivationBackward {
  static constexpr std::string_view name = "activation_backward";
  Activation activation = Activation::relu;
  int64_t elements = 1;
  Into into = Into::overwrite;
  Types types;
  float slope = 0;
};  // in: y (or x: gradient_reads_input), dy   out: dx

// y = a + b: where branches meet. Its gradient by each is dy itself.
struct Add {
  static constexpr std::string_view name = "add";
  int64_t elements = 1;
  Types types;
};  // in: a b   out: y

// Images side by side along the channels.
struct ConcatForward {
  static constexpr std::string_view name = "concat_forward";
  int64_t rows = 1;
  std::vector<int64_t> channels;  // of each input
  Types types;
  int64_t c() const;              // of y: their sum
  int64_t first(int part) const;  // channel of y where those of this input begin
};                                // in: x (rows, channels[i]) of each   out: y (rows, c)
struct ConcatBackward {
  static constexpr std::string_view name = "concat_backward";
  ConcatForward forward;
  int part = 0;  // which of the inputs
  Into into = Into::overwrite;
};  // in: dy (rows, c)   out: dx (rows, channels[part])

struct ShortcutForward {
  static constexpr std::string_view name = "shortcut_forward";
  ShortcutShape shape;
  Types types;
};  // in: x   out: y
struct ShortcutBackward {
  static constexpr std::string_view name = "shortcut_backward";
  ShortcutShape shape;
  Into into = Into::overwrite;
  Types types;
};  // in: dy   out: dx

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

// loss = -weight_t sum_k target_k log softmax(x)_k, target = (1 - smoothing) onehot(t) + smoothing / k; 0 where t is ignored.
struct SoftmaxCrossEntropyForward {
  static constexpr std::string_view name = "softmax_cross_entropy_forward";
  int64_t n = 1, k = 1;
  float smoothing = 0;
  Types types;
  std::vector<float> class_weights = {};  // of the loss of an image, by its label; empty: 1
};                                        // in: x (n, k), t (n) i32   out: loss (n) of types.y
// Gradient of (sum of losses) / divisor; divisor is the batch of the whole step, ignored labels included.
struct SoftmaxCrossEntropyBackward {
  static constexpr std::string_view name = "softmax_cross_entropy_backward";
  SoftmaxCrossEntropyForward forward;
  int64_t divisor = 1;
  Scaling scaling = Scaling::none;
};  // in: x t, LossScale if it scales   out: dx

// loss = weight_t (max(x, 0) - x t' + log(1 + exp(-|x|))), t' = (1 - smoothing) t + smoothing / 2.
struct BinaryCrossEntropyForward {
  static constexpr std::string_view name = "binary_cross_entropy_forward";
  int64_t n = 1;
  float smoothing = 0;
  Types types;
  std::vector<float> class_weights = {};  // of labels 0 and 1; empty: 1
};                                        // in: x (n, 1) logits, t (n) i32 in {0, 1}   out: loss (n)
struct BinaryCrossEntropyBackward {
  static constexpr std::string_view name = "binary_cross_entropy_backward";
  BinaryCrossEntropyForward forward;
  int64_t divisor = 1;
  Scaling scaling = Scaling::none;
};  // in: x t, LossScale if it scales   out: dx

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
// As Adam, but w -= rate decay w by itself, and g without decay. Loshchilov and Hutter, ICLR 2019, algorithm 2.
struct AdamW {
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
};
// g += decay w; v = alpha v + (1 - alpha) g^2; change = g / (sqrt(v) + epsilon); with momentum m = momentum m + change; w -= rate (m or
// change). Hinton's lecture 6e of 2012, as PyTorch has it. First moment v, second m.
struct RmsProp {
  float alpha = 0.99f, epsilon = 1e-8f, momentum = 0;
};
using UpdateRule = std::variant<Sgd, Adam, AdamW, RmsProp>;
int moments_of(const UpdateRule& rule);  // tensors of state per parameter: 0 (plain SGD), 1, or 2 (Adam)

// The Euclidean norm of all gradients together: sqrt(sum g^2).
struct GradientNorm {
  static constexpr std::string_view name = "gradient_norm";
  std::vector<int64_t> elements;  // of each gradient
  Types types;
  Scaling scaling = Scaling::none;
};  // in: dw of each, LossScale if they are scaled   out: norm (1) of the gradients without it

// One step of the rule for every parameter, and of the averages that go with it. Nothing changes while Metrics::non_finite is above 0,
// which a gradient that is not finite raises. StepControl is then that of the next step, whatever became of this one.
struct Update {
  static constexpr std::string_view name = "update";
  enum class Working : uint8_t { none, copy };  // whether products read the parameter itself, or a copy of it in types.x
  struct Parameter {
    int64_t elements = 1;
    float decay = 0;
    float rate_scale = 1;
    Working working = Working::none;
  };
  // Of one batch norm: running = (1 - momentum) running + momentum batch, once for each micro-batch, in order; the batch's variance times
  // its unbias = rows / (rows - 1) first.
  struct Running {
    int64_t c = 1;
    float momentum = 0.1f;
    std::vector<float> unbias;  // by micro-batch
  };
  UpdateRule rule;
  std::vector<Parameter> parameters;
  Types types;
  float clip_norm = 0;  // above 0: gradients are scaled by min(1, clip_norm / (norm + 1e-6)). Pascanu et al., ICML 2013
  float ema_decay = 0;  // above 0: average = d average + (1 - d) w with d = min(ema_decay, (1 + step) / (10 + step)), of the new w
  std::vector<Running> running = {};
  Scaling scaling = Scaling::none;  // dynamic: a gradient that is not finite changes the scale, not the flag, and the step does not count
  int64_t images = 0;               // of the step, by which the control is moved on; 0: it stays as it is
};  // in: StepControl (which it may move on), Metrics (whose flag it may raise), dw of each parameter, norm (1) if it clips, then for each
    // running its batch mean and variance, by micro-batch
    //
    // out: w of each, first moment of each, second moment of each, average of each, then running mean and variance of each running, then
    // the working copy of the new w of each that has one, LossScale if dw are scaled

// Where its inputs and outputs begin.
struct UpdatePlaces {
  size_t norm, batch;                                              // of the inputs
  size_t moment1, moment2, average, running, working, loss_scale;  // of the outputs
};
UpdatePlaces places_of(const Update& update);

using Op =
    std::variant<Augment, Reorder, Convert, Conv2dForward, Conv2dBackwardData, Conv2dBackwardFilter, BiasForward, BiasBackward,
                 LinearForward, LinearBackwardData, LinearBackwardFilter, MaxPoolForward, MaxPoolBackward, AvgPoolForward, AvgPoolBackward,
                 BatchNormForward, BatchNormInference, BatchNormBackward, ActivationForward, ActivationBackward, Add, ConcatForward,
                 ConcatBackward, ShortcutForward, ShortcutBackward, Flatten, DropoutForward, DropoutBackward, SoftmaxCrossEntropyForward,
                 SoftmaxCrossEntropyBackward, BinaryCrossEntropyForward, BinaryCrossEntropyBackward, Score, GradientNorm, Update>;

std::string_view name_of(const Op& op);
int64_t macs_of(const Op& op);  // multiply-accumulates of one run; 0 where there are none

// Throws Error (config) unless the window fits, groups divide, and every size is positive.
void validate(const Conv2dShape& shape);
void validate(const PoolShape& shape);
void validate(const ShortcutShape& shape);

}  // namespace fovea
