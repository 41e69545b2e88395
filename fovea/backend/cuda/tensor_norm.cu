// A convolution of one pixel and the batch norm behind it, without the convolution's outputs ever being in memory: they are several times
// as wide as what they are made of, so to compute them anew for each pass takes less than to read them. Once for the moments and once to be
// normalised; then, for the gradient, once for its sums and once more for itself.
#include <limits>
#include <optional>
#include <span>

#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/convolution_moments.h"
#include "fovea/backend/cuda/tensor_conv2d.cuh"

namespace fovea::cuda {
namespace {

// Three blocks a multiprocessor, so that two of them multiply while one ends. A step of resnet50 at batch 256 where this is done for
// convolutions of 64 and 128 channels: 35.25 ms, and 36.3 with tiles of 64 x 256 or 128 x 256, of which a thread has twice the sums; 35.6
// with four blocks of 64 x 64.
constexpr Choice tiles = {.groups = 1, .pixels = 128, .box = 64};

class ProductAgain {
 public:
  explicit ProductAgain(const Conv2dForward& op) : product_(forward_product(op.shape)), dtype_(op.types.x), choice_(tiles) {
    choice_.rounds_per_part = static_cast<int>(ceil_of(product_.windows.c, stage_contraction));
  }

  Deal deal() const {
    const int64_t pixels = product_.windows.count();
    return {.rows = pixels, .lines = choice_.pixels, .parts = static_cast<int>(ceil_of(pixels, choice_.pixels))};
  }
  int channels() const { return product_.m; }
  size_t bytes_of_sums() const { return bytes_of_parts(deal(), product_.m); }
  void bind(const Tensor& x, const Tensor& w) {
    maps_ = maps_of(product_, choice_, dtype_, x.data, w.data);
    extent_.emplace(extent_of(product_, choice_));
  }
  Destination destination() const {
    Destination to{};
    to.in_order = true;
    to.places = product_.places;
    return to;
  }
  template <Ending ending>
  void run(const Destination& to, const Launch& launch) const {
    constexpr int box = tiles.box, pixels = tiles.pixels;
    const auto run = dtype_ == DType::bf16 ? launch_tiles<__nv_bfloat16, tiles.groups, pixels, box, Inner::contraction, ending>
                                           : launch_tiles<__half, tiles.groups, pixels, box, Inner::contraction, ending>;
    run(maps_, *extent_, to, launch);
  }

 private:
  PatchProduct product_;
  DType dtype_;
  Choice choice_;
  Maps maps_;
  std::optional<Extent> extent_;
};

std::string algorithm_of(const ProductAgain& product) {
  return "tensor cores, 64x128 tiles, twice, sums of " + std::to_string(product.deal().parts) + " parts";
}

Normal normal_of(const BatchNormForward& op, const Tensor& scale, const Tensor& shift, const Tensor& mean, const Tensor& variance) {
  return {static_cast<const float*>(scale.data), static_cast<const float*>(shift.data), static_cast<const float*>(mean.data),
          static_cast<const float*>(variance.data), op.epsilon};
}

// The norm of the product's outputs, and what is added to it.
struct NormOfOutputs {
  ProductAgain product;
  BatchNormForward norm;
  Destination moments{}, end{};
  Buffers of_norm{};

  explicit NormOfOutputs(const NormedConv2d& of) : product(of.conv2d), norm(of.norm) {}

  // in: x w scale shift
  void bind(std::span<const Tensor> in, const Tensor& y, const Tensor& mean, const Tensor& variance, void* workspace) {
    product.bind(in[0], in[1]);
    moments = product.destination();
    moments.moments = static_cast<float*>(workspace);
    of_norm = {{in[0], in[2], in[3]}, {y, mean, variance}};
    end = product.destination();
    end.data = y.data;
    end.norm.normal = normal_of(norm, in[2], in[3], mean, variance);
    end.norm.least = -std::numeric_limits<float>::infinity();
  }
  void run(const Launch& launch) const {
    product.run<Ending::moments>(moments, launch);
    launch_merge_moments(product.deal(), product.channels(), launch.floats(), of_norm, launch);
    product.run<Ending::normalised>(end, launch);
  }
};

class NormOfProduct final : public Kernel {
 public:
  NormOfProduct(const NormedConv2d& own, std::optional<ConvolutionAndMoments> branch, SumBehind behind)
      : Kernel("cuda"), own_(own), branch_(std::move(branch)), behind_(behind) {}

  std::string algorithm() const override { return algorithm_of(own_.product) + (branch_ ? "; " + branch_->algorithm() : ""); }
  size_t workspace_bytes() const override {
    return std::max(own_.product.bytes_of_sums(), branch_ ? branch_->workspace_bytes() : 0);  // one after the other
  }
  void bind(Buffers buffers, void* workspace) override {
    const std::span<const Tensor> in(buffers.in), out(buffers.out);
    workspace_ = workspace;
    own_.bind(in, out[0], out[1], out[2], workspace);
    own_.end.before = in[4].data;
    if (behind_ == SumBehind::relu) own_.end.norm.least = 0;
    if (!branch_) return;
    branch_->bind(in.subspan(4, 2), std::vector<Tensor>{out[0], out[3], out[4], out[5]}, workspace);
    own_.end.before = out[5].data;
    own_.end.norm.met = normal_of(branch_->norm(), in[6], in[7], out[3], out[4]);
  }
  void run(Stream& stream) override {
    if (branch_) branch_->run(stream);
    own_.run({handle_of(stream), workspace_});
  }

 private:
  NormOfOutputs own_;
  std::optional<ConvolutionAndMoments> branch_;
  SumBehind behind_;
  void* workspace_ = nullptr;
};

// The norm of one lies where the sum will, and the other meets it there.
class NormsOfProducts final : public Kernel {
 public:
  NormsOfProducts(const NormedConv2d& first, const NormedConv2d& second, SumBehind behind)
      : Kernel("cuda"), first_(first), second_(second), behind_(behind) {}

  std::string algorithm() const override { return algorithm_of(first_.product) + ", both branches"; }
  size_t workspace_bytes() const override { return std::max(first_.product.bytes_of_sums(), second_.product.bytes_of_sums()); }
  void bind(Buffers buffers, void* workspace) override {
    const std::span<const Tensor> in(buffers.in), out(buffers.out);
    workspace_ = workspace;
    first_.bind(in, out[0], out[1], out[2], workspace);
    second_.bind(in.subspan(4), out[0], out[3], out[4], workspace);
    second_.end.before = out[0].data;
    if (behind_ == SumBehind::relu) second_.end.norm.least = 0;
  }
  void run(Stream& stream) override {
    const Launch launch = {handle_of(stream), workspace_};
    first_.run(launch);
    second_.run(launch);
  }

 private:
  NormOfOutputs first_, second_;
  SumBehind behind_;
  void* workspace_ = nullptr;
};

class NormOfProductBackward final : public Kernel {
 public:
  NormOfProductBackward(const Conv2dForward& conv2d, const BatchNormBackward& op) : Kernel("cuda"), product_(conv2d), op_(op) {}

  std::string algorithm() const override { return algorithm_of(product_); }
  size_t workspace_bytes() const override { return product_.bytes_of_sums() + 2 * static_cast<size_t>(op_.c) * sizeof(float); }
  void bind(Buffers buffers, void* workspace) override {
    const std::vector<Tensor>& in = buffers.in;
    workspace_ = workspace;
    out_ = std::move(buffers.out);
    product_.bind(in[0], in[1]);
    float* const totals = static_cast<float*>(workspace) + product_.bytes_of_sums() / sizeof(float);
    to_ = product_.destination();
    to_.data = out_[0].data;
    to_.before = in[2].data;
    to_.norm = {.normal = {static_cast<const float*>(in[3].data), nullptr, static_cast<const float*>(in[4].data),
                           static_cast<const float*>(in[5].data), op_.epsilon},
                .met = {},
                .least = 0,
                .sums = static_cast<float*>(workspace),
                .totals = totals,
                .rows_inverse = 1 / static_cast<float>(op_.rows)};
    totals_ = totals;
  }
  void run(Stream& stream) override {
    const Launch launch = {handle_of(stream), workspace_};
    product_.run<Ending::norm_sums>(to_, launch);
    launch_merge_gradients(op_, product_.deal(), to_.norm.normal, out_, to_.norm.sums, totals_, launch);
    product_.run<Ending::norm_gradient>(to_, launch);
  }

 private:
  ProductAgain product_;
  BatchNormBackward op_;
  std::vector<Tensor> out_;
  Destination to_{};
  float* totals_ = nullptr;
  void* workspace_ = nullptr;
};

}  // namespace

// Steps of resnet50 and resnet18 at batch 256 say where it takes less time, or so little more that the memory is worth it: four rounds of
// the product pay where an image's outputs are large, and outputs twice as wide as the inputs do not pay where they are small. Whatever the
// batch, so that a larger one needs no less memory.
bool can_be_computed_again(const Conv2dForward& op) {
  constexpr int64_t large = 512 << 10;  // bytes of an image's outputs
  const Conv2dShape& shape = op.shape;
  const bool is_large = shape.p() * shape.q() * shape.k * static_cast<int64_t>(bytes_of(op.types.y)) >= large;
  const PatchProduct product = forward_product(shape);
  return shape.window.r == 1 && shape.window.s == 1 && shape.c <= (is_large ? 256 : 128) && shape.k >= (is_large ? 2 : 4) * shape.c &&
         suits_tensor_cores(shape, op.types) && direct_on_tensor_cores(op, {}) == nullptr &&
         can_be_fetched(product.windows, product.r, product.s, product.dilation_h, product.dilation_w);
}

KernelPtr norm_of_product(const NormedConv2d& own, SumBehind behind) {
  require_countable(own.norm, ceil_of(own.norm.rows, tiles.pixels) * 2 * own.norm.c);
  return std::make_unique<NormOfProduct>(own, std::nullopt, behind);
}
KernelPtr norm_of_product_and_branch(const NormedConv2d& own, const NormedConv2d& branch, SumBehind behind) {
  require_countable(own.norm, ceil_of(own.norm.rows, tiles.pixels) * 2 * own.norm.c);
  std::optional<ConvolutionAndMoments> other = convolution_and_moments(branch.conv2d, branch.norm);
  if (!other) return nullptr;
  return std::make_unique<NormOfProduct>(own, std::move(other), behind);
}
KernelPtr norms_of_products(const NormedConv2d& first, const NormedConv2d& second, SumBehind behind) {
  require_countable(first.norm, ceil_of(first.norm.rows, tiles.pixels) * 2 * first.norm.c);
  return std::make_unique<NormsOfProducts>(first, second, behind);
}
KernelPtr norm_of_product_backward(const Conv2dForward& conv2d, const BatchNormBackward& op) {
  require_countable(op, ceil_of(op.rows, tiles.pixels) * 2 * op.c);
  return std::make_unique<NormOfProductBackward>(conv2d, op);
}

}  // namespace fovea::cuda
