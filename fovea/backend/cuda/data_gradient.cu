// The gradient of a convolution by its image, with those of the relu and the bias in front of it: what it writes is summed on its way.
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/row_sums.cuh"
#include "fovea/backend/cuda/tensor_product.h"

namespace fovea::cuda {
namespace {

// Workspace: the sums over parts of the pixels.
class DataGradientWithBias final : public Kernel {
 public:
  DataGradientWithBias(KernelWithTotals gradient, const BiasBackward& bias)
      : Kernel("cuda"), gradient_(std::move(gradient.kernel)), parts_(gradient.parts), bias_(bias) {}

  std::string algorithm() const override { return gradient_->algorithm() + ", sums in " + std::to_string(parts_) + " parts"; }
  size_t workspace_bytes() const override { return static_cast<size_t>(parts_ * bias_.k) * sizeof(float); }
  void bind(Buffers buffers, void* workspace) override {
    totals_ = {workspace, DType::f32, {parts_, bias_.k}};
    db_ = output(buffers, 1);
    gradient_->bind({buffers.in, {buffers.out[0], totals_}}, nullptr);
  }
  void run(Stream& stream) override {
    gradient_->run(stream);
    launch_add_row_sums(static_cast<const float*>(totals_.data), parts_, static_cast<int>(bias_.k), bias_.into, db_, handle_of(stream));
  }

 private:
  KernelPtr gradient_;
  int parts_;
  BiasBackward bias_;
  Tensor totals_;
  float* db_ = nullptr;
};

}  // namespace

KernelPtr data_gradient_with_relu_and_bias(const Conv2dBackwardData& op, const BiasBackward& bias) {
  KernelWithTotals gradient = on_tensor_cores_with_relu_and_totals(op);
  if (gradient.kernel == nullptr) return nullptr;
  return std::make_unique<DataGradientWithBias>(std::move(gradient), bias);
}

}  // namespace fovea::cuda
