// What happens to an element of a product when its sum is complete.
#pragma once

#include "fovea/backend/cuda/activate.cuh"
#include "fovea/backend/cuda/parts.h"

namespace fovea::cuda {

__device__ inline void finish_element(const Epilogue& epilogue, const Product& product, int3 place, float sum) {  // group, m, n
  if (epilogue.bias != nullptr) sum += epilogue.bias[place.x * product.n + place.z];
  if (epilogue.finish != Finish::nothing) sum = activate(static_cast<Activation>(static_cast<int>(epilogue.finish) - 1), sum);
  float& to = epilogue.out[place.x * epilogue.group + place.y * epilogue.stride_m + place.z * epilogue.stride_n];
  to = epilogue.into == Into::add ? to + sum : sum;
}

}  // namespace fovea::cuda
