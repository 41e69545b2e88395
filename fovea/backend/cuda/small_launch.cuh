// Launches of the kernels of small networks, each of which may start before the one in front of it has ended.
#pragma once

#include "fovea/backend/cuda/dependent_launch.h"
#include "fovea/backend/cuda/small_stage.h"

namespace fovea::cuda {

constexpr int always_allowed = 48 * 1024;  // bytes of shared memory

template <auto of_bf16, auto of_fp16, class Job>
void small_launch(const SmallLaunch& launch, const Grid& grid, const Job& job) {
  if (grid.shared_bytes > always_allowed) {
    static const bool allowed = [&] {
      for (const auto each : {of_bf16, of_fp16})
        check_cuda(cudaFuncSetAttribute(each, cudaFuncAttributeMaxDynamicSharedMemorySize, launch.device.shared_bytes),
                   "cudaFuncSetAttribute");
      return true;
    }();
    static_cast<void>(allowed);
  }
  launch_dependent("small network", launch.dtype == DType::bf16 ? of_bf16 : of_fp16, grid, *launch.stream, job);
}

}  // namespace fovea::cuda
