// A convolution with its bias and activation, and the pooling behind it, one after the other: what lies between them is in the workspace.
#include "fovea/backend/cuda/claims.h"

namespace fovea::cuda {
namespace {

class PooledProduct final : public Kernel {
 public:
  PooledProduct(KernelPtr product, KernelPtr pool, const MaxPoolForward& op)
      : Kernel("cuda"), product_(std::move(product)), pool_(std::move(pool)), between_{nullptr, op.types.x, op.shape.x()} {}

  std::string algorithm() const override { return product_->algorithm() + ", then " + pool_->algorithm(); }
  size_t workspace_bytes() const override { return between_bytes() + std::max(product_->workspace_bytes(), pool_->workspace_bytes()); }
  void bind(Buffers buffers, void* workspace) override {
    between_.data = workspace;
    std::byte* rest = static_cast<std::byte*>(workspace) + between_bytes();
    product_->bind({buffers.in, {between_}}, rest);
    pool_->bind({{between_}, buffers.out}, rest);
  }
  void run(Stream& stream) override {
    product_->run(stream);
    pool_->run(stream);
  }

 private:
  size_t between_bytes() const {
    constexpr size_t alignment = 256;
    return (static_cast<size_t>(between_.shape.elements()) * bytes_of(between_.dtype) + alignment - 1) / alignment * alignment;
  }

  KernelPtr product_, pool_;
  Tensor between_;
};

}  // namespace

KernelPtr pooled_product(KernelPtr product, KernelPtr pool, const MaxPoolForward& op) {
  return std::make_unique<PooledProduct>(std::move(product), std::move(pool), op);
}

}  // namespace fovea::cuda
