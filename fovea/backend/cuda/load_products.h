// What the tensor cores of a GPU give at most: `product` in fovea/backend/load.h. All factors are ones, so any of them may stand in any
// place.
#pragma once

#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/load.h"

namespace fovea::cuda {

// nullptr: not on this GPU, or not in this build for it.
KernelPtr products_of_warps(const Load& load);        // from compute capability 8.0 on; of 10.0 not the widest
KernelPtr products_of_warp_groups(const Load& load);  // of Hopper, which does the most by them alone

// Two ones in 16 bits, or one in 32.
constexpr uint32_t word_of_ones(const graph::Precision& precision) {
  return precision == graph::bf16 ? 0x3F803F80 : precision == graph::fp16 ? 0x3C003C00 : 0x3F800000;
}

}  // namespace fovea::cuda
