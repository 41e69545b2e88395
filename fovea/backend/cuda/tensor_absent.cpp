// Where the module is built for other GPUs than Hopper: the tensor cores decline everything.
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/load_products.h"
#include "fovea/backend/cuda/tensor_product.h"

namespace fovea::cuda {

KernelPtr on_tensor_cores(const Conv2dForward&) { return nullptr; }
KernelPtr on_tensor_cores(const Conv2dBackwardData&) { return nullptr; }
KernelPtr on_tensor_cores(const Conv2dBackwardFilter&) { return nullptr; }
KernelPtr on_tensor_cores(const LinearForward&) { return nullptr; }
KernelPtr on_tensor_cores(const LinearBackwardData&) { return nullptr; }
KernelPtr on_tensor_cores(const LinearBackwardFilter&) { return nullptr; }
KernelPtr on_tensor_cores_with_bias(const Conv2dForward&, std::optional<Activation>) { return nullptr; }
KernelPtr on_tensor_cores_with_bias(const LinearForward&, std::optional<Activation>) { return nullptr; }
KernelWithTotals on_tensor_cores_with_relu_and_totals(const Conv2dBackwardData&) { return {}; }
KernelPtr on_tensor_cores_with_relu(const Conv2dBackwardData&) { return nullptr; }
MomentsOfTiles on_tensor_cores_with_moments(const Conv2dForward&) { return {}; }
bool can_be_computed_again(const Conv2dForward&) { return false; }
KernelPtr norm_of_product(const NormedConv2d&, SumBehind) { return nullptr; }
KernelPtr norm_of_product_and_branch(const NormedConv2d&, const NormedConv2d&, SumBehind) { return nullptr; }
KernelPtr norms_of_products(const NormedConv2d&, const NormedConv2d&, SumBehind) { return nullptr; }
KernelPtr norm_of_product_backward(const Conv2dForward&, const BatchNormBackward&) { return nullptr; }
KernelPtr products_of_warp_groups(const Load&) { return nullptr; }

}  // namespace fovea::cuda
