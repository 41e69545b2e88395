// A convolution with its bias and activation, and the pooling behind it, one after the other in slices of the images: what lies between
// them is in the workspace, and small enough to stay in the GPU's second-level cache.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"

namespace fovea::cuda {
namespace {

constexpr int64_t slice_bytes = 32 << 20;  // of 50 MiB of cache on an H100

// The images from `first` on, in this shape.
Tensor images_of(const Tensor& tensor, int64_t first, const Shape& shape) {
  return {static_cast<std::byte*>(tensor.data) + static_cast<int64_t>(tensor.bytes()) / tensor.shape[0] * first, tensor.dtype, shape};
}

// Kernels read and write up to 16 bytes at once, from the start of a tensor on.
int64_t slices_of(const Shape& x, const PoolShape& pool, DType dtype) {
  const int64_t bytes = pool.x().elements() * static_cast<int64_t>(bytes_of(dtype));
  for (const int64_t elements : {x.elements() / pool.n, pool.y().elements() / pool.n})  // of an image; places of maxima are bytes
    if (elements % 16 != 0) return 1;
  return std::clamp((bytes + slice_bytes - 1) / slice_bytes, int64_t{1}, pool.n);
}

class PooledProduct final : public Kernel {
 public:
  PooledProduct(const Conv2dForward& conv2d, std::optional<Activation> activation, const MaxPoolForward& pool, const Limits& limits)
      : Kernel("cuda"), between_{nullptr, pool.types.x, pool.shape.x()} {
    const int64_t images = pool.shape.n, slices = slices_of(conv2d.shape.x(), pool.shape, pool.types.x);
    const int64_t most = (images + slices - 1) / slices;
    for (int64_t first = 0; first < images; first += most) {
      Conv2dForward product = conv2d;
      MaxPoolForward pooling = pool;
      product.shape.n = pooling.shape.n = std::min(most, images - first);
      slices_.push_back({first, product.shape.x(), pooling.shape, conv2d_with_bias(product, activation), Kernels::make(pooling, limits)});
    }
    between_.shape = slices_.front().pool_shape.x();
  }

  std::string algorithm() const override {
    const std::string each = slices_.front().product->algorithm() + ", then " + slices_.front().pool->algorithm();
    return slices_.size() == 1 ? each : std::to_string(slices_.size()) + " slices: " + each;
  }
  size_t workspace_bytes() const override {
    size_t most = 0;
    for (const Slice& slice : slices_) most = std::max({most, slice.product->workspace_bytes(), slice.pool->workspace_bytes()});
    return between_bytes() + most;
  }
  void bind(Buffers buffers, void* workspace) override {
    between_.data = workspace;
    std::byte* rest = static_cast<std::byte*>(workspace) + between_bytes();
    for (Slice& slice : slices_) {
      const Tensor between = images_of(between_, 0, slice.pool_shape.x());
      Buffers of_product{buffers.in, {between}}, of_pool{{between}, {}};
      of_product.in[0] = images_of(buffers.in[0], slice.first, slice.x);
      for (const Tensor& out : buffers.out) of_pool.out.push_back(images_of(out, slice.first, slice.pool_shape.y()));
      slice.product->bind(std::move(of_product), rest);
      slice.pool->bind(std::move(of_pool), rest);
    }
  }
  void run(Stream& stream) override {
    for (Slice& slice : slices_) {
      slice.product->run(stream);
      slice.pool->run(stream);
    }
  }

 private:
  struct Slice {
    int64_t first;  // image
    Shape x;
    PoolShape pool_shape;
    KernelPtr product, pool;
  };
  size_t between_bytes() const {
    constexpr size_t alignment = 256;
    return (between_.bytes() + alignment - 1) / alignment * alignment;
  }

  Tensor between_;  // of the largest slice
  std::vector<Slice> slices_;
};

}  // namespace

KernelPtr pooled_conv2d(const Conv2dForward& conv2d, std::optional<Activation> activation, const MaxPoolForward& pool,
                        const Limits& limits) {
  return std::make_unique<PooledProduct>(conv2d, activation, pool, limits);
}

}  // namespace fovea::cuda
