// Convolutions of images with fewer than eight channels, the first of most networks, on the tensor cores. The images are packed into eight
// channels a pixel, with the padding left and right of every line written out; the pixels under a line of a window are then s x 8
// neighbouring numbers, one "pixel" of that many channels, and the windows overlap. Of 7 x 7 x 3 numbers that makes 7 x 64 instead of 7 x 7
// x 32.
#include "fovea/backend/cuda/tensor_product.h"
#include "fovea/base/philox.h"

namespace fovea::cuda {
namespace {

constexpr int packed_channels = 8;

struct Packing {
  int n, h, w, c, pad_left;
  int columns;  // of a packed line
  int k, r, s;

  explicit Packing(const Conv2dShape& shape)
      : n(static_cast<int>(shape.n)),
        h(static_cast<int>(shape.h)),
        w(static_cast<int>(shape.w)),
        c(static_cast<int>(shape.c)),
        pad_left(static_cast<int>(shape.window.pad_left)),
        columns(static_cast<int>((shape.q() - 1) * shape.window.stride_w + shape.window.s)),
        k(static_cast<int>(shape.k)),
        r(static_cast<int>(shape.window.r)),
        s(static_cast<int>(shape.window.s)) {}

  FOVEA_HOST_DEVICE int64_t pixels() const { return int64_t{n} * h * columns; }
  size_t image_bytes() const { return align(static_cast<size_t>(pixels()) * packed_channels * 2); }
  FOVEA_HOST_DEVICE int line() const { return s * packed_channels; }  // of a filter
  FOVEA_HOST_DEVICE int64_t filter_elements() const { return int64_t{k} * r * line(); }
  size_t filter_bytes() const { return align(static_cast<size_t>(filter_elements()) * sizeof(float)); }  // of its gradient

 private:
  static size_t align(size_t bytes) { return (bytes + 255) / 256 * 256; }
};

// A pixel a thread; what lies outside the image or beyond its channels is zero. The numbers are moved, not looked at.
__global__ void __launch_bounds__(block_threads) pack_images(const __grid_constant__ Packing packing, const uint16_t* x, uint4* packed) {
  const int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (i >= packing.pixels()) return;
  const int64_t line = i / packing.columns;
  const int column = static_cast<int>(i - line * packing.columns) - packing.pad_left;
  uint32_t v[packed_channels] = {};
  if (column >= 0 && column < packing.w) {
    const uint16_t* from = x + (line * packing.w + column) * packing.c;
#pragma unroll
    for (int c = 0; c < packed_channels - 1; ++c)
      if (c < packing.c) v[c] = from[c];
  }
  packed[i] = make_uint4(v[0] | v[1] << 16, v[2] | v[3] << 16, v[4] | v[5] << 16, v[6]);
}

// (k, r, s, c) to (k, r, s 8).
__global__ void __launch_bounds__(block_threads)
    pack_filters(const __grid_constant__ Packing packing, const uint16_t* w, uint16_t* packed) {
  const int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (i >= packing.filter_elements()) return;
  const int64_t tap = i / packed_channels;
  const int c = static_cast<int>(i % packed_channels);
  packed[i] = c < packing.c ? w[tap * packing.c + c] : uint16_t{0};
}

__global__ void __launch_bounds__(block_threads)
    unpack_filters(const __grid_constant__ Packing packing, const float* packed, float* dw, Into into) {
  const int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (i >= int64_t{packing.k} * packing.r * packing.s * packing.c) return;
  const int64_t tap = i / packing.c;
  const float value = packed[tap * packed_channels + i % packing.c];
  dw[i] = into == Into::add ? dw[i] + value : value;
}

PatchProduct packed_product(const Conv2dShape& shape) {
  const Packing packing(shape);
  PatchProduct product = forward_product(shape);
  product.windows.w = packing.columns - packing.s + 1;
  product.windows.c = packing.line();
  product.windows.pixel_stride = packed_channels;
  product.windows.row_stride = int64_t{packing.columns} * packed_channels;
  product.windows.lower_w = 0;
  product.s = 1;
  product.tap_r = 1;
  product.taps = packing.r;
  return product;
}

void enqueue_packed_images(const Packing& packing, const Tensor& x, void* packed, cudaStream_t stream) {
  pack_images<<<blocks_of_each(packing.pixels()), block_threads, 0, stream>>>(packing, static_cast<const uint16_t*>(x.data),
                                                                              static_cast<uint4*>(packed));
  check_launch("pack_images");
}

// Workspace: the packed images, the packed filters, and what the product itself needs.
class PackedForward final : public Kernel {
 public:
  PackedForward(const Conv2dShape& shape, KernelPtr product) : Kernel("cuda"), packing_(shape), product_(std::move(product)) {}

  std::string algorithm() const override { return product_->algorithm() + ", channels packed by eights"; }
  size_t workspace_bytes() const override { return packing_.image_bytes() + packing_.filter_bytes() + product_->workspace_bytes(); }
  void bind(Buffers buffers, void* workspace) override {
    images_ = static_cast<std::byte*>(workspace);
    filters_ = images_ + packing_.image_bytes();
    x_ = buffers.in[0];
    w_ = buffers.in[1];
    buffers.in[0].data = images_;
    buffers.in[1].data = filters_;
    product_->bind(std::move(buffers), filters_ + packing_.filter_bytes());
  }
  void run(Stream& stream) override {
    enqueue_packed_images(packing_, x_, images_, handle_of(stream));
    pack_filters<<<blocks_of_each(packing_.filter_elements()), block_threads, 0, handle_of(stream)>>>(
        packing_, static_cast<const uint16_t*>(w_.data), reinterpret_cast<uint16_t*>(filters_));
    check_launch("pack_filters");
    product_->run(stream);
  }

 private:
  Packing packing_;
  KernelPtr product_;
  Tensor x_, w_;
  std::byte *images_ = nullptr, *filters_ = nullptr;
};

class PackedFilterGradient final : public Kernel {
 public:
  PackedFilterGradient(const Conv2dShape& shape, Into into, KernelPtr product)
      : Kernel("cuda"), packing_(shape), into_(into), product_(std::move(product)) {}

  std::string algorithm() const override { return product_->algorithm() + ", channels packed by eights"; }
  size_t workspace_bytes() const override { return packing_.image_bytes() + packing_.filter_bytes() + product_->workspace_bytes(); }
  void bind(Buffers buffers, void* workspace) override {
    images_ = static_cast<std::byte*>(workspace);
    gradient_ = images_ + packing_.image_bytes();
    x_ = buffers.in[0];
    dw_ = output(buffers, 0);
    buffers.in[0].data = images_;
    buffers.out[0].data = gradient_;
    product_->bind(std::move(buffers), gradient_ + packing_.filter_bytes());
  }
  void run(Stream& stream) override {
    enqueue_packed_images(packing_, x_, images_, handle_of(stream));
    product_->run(stream);
    const int64_t elements = int64_t{packing_.k} * packing_.r * packing_.s * packing_.c;
    unpack_filters<<<blocks_of_each(elements), block_threads, 0, handle_of(stream)>>>(packing_, reinterpret_cast<const float*>(gradient_),
                                                                                      dw_, into_);
    check_launch("unpack_filters");
  }

 private:
  Packing packing_;
  Into into_;
  KernelPtr product_;
  Tensor x_;
  float* dw_ = nullptr;
  std::byte *images_ = nullptr, *gradient_ = nullptr;
};

bool suits_packing(const Conv2dShape& shape, const Types& types) {
  Conv2dShape packed = shape;
  packed.c = packed_channels;
  return shape.c < packed_channels && shape.window.s * packed_channels <= 64 && shape.window.dilation_w == 1 &&
         shape.n * shape.h * ((shape.q() - 1) * shape.window.stride_w + shape.window.s) <= largest_count &&
         suits_tensor_cores(packed, types);
}

}  // namespace

KernelPtr packed_on_tensor_cores(const Conv2dForward& op, const Ends& ends) {
  if (!suits_packing(op.shape, op.types)) return nullptr;
  KernelPtr product = patch_kernel({packed_product(op.shape)}, op.types.x, ends);
  return product ? std::make_unique<PackedForward>(op.shape, std::move(product)) : nullptr;
}

KernelPtr packed_on_tensor_cores(const Conv2dBackwardFilter& op) {
  if (!suits_packing(op.shape, op.types)) return nullptr;
  const PatchProduct packed = packed_product(op.shape);
  KernelPtr product = filter_kernel({.windows = packed.windows, .r = packed.r, .s = 1, .dilation_h = packed.dilation_h, .k = packed.m},
                                    op.types.x, Into::overwrite);
  return product ? std::make_unique<PackedFilterGradient>(op.shape, op.into, std::move(product)) : nullptr;
}

}  // namespace fovea::cuda
