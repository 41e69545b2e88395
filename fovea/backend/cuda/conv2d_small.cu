// The convolutions of conv2d_product.cuh on values of 16 bits: for every shape, not the fastest.
#include "fovea/backend/cuda/conv2d_product.cuh"

namespace fovea::cuda {

Conv2dProducts small_conv2d_products(DType values) {
  return values == DType::bf16 ? conv2d_products<BFloat16>() : conv2d_products<Float16>();
}

}  // namespace fovea::cuda
