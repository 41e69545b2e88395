// Launches of the kernels of small networks, some of which may start before the one in front of them has ended.
#pragma once

#include "fovea/backend/cuda/small_stage.h"
#include "fovea/device/cuda.h"

namespace fovea::cuda {

struct SmallGrid {
  int blocks, threads, bytes;
};
constexpr int always_allowed = 48 * 1024;  // bytes of shared memory

template <auto of_bf16, auto of_fp16, class Job>
void small_launch(const SmallLaunch& launch, const SmallGrid& grid, Dependent dependent, const Job& job) {
  const auto kernel = launch.dtype == DType::bf16 ? of_bf16 : of_fp16;
  if (grid.bytes > always_allowed) {
    static const bool allowed = [&] {
      for (const auto each : {of_bf16, of_fp16})
        check_cuda(cudaFuncSetAttribute(each, cudaFuncAttributeMaxDynamicSharedMemorySize, launch.device.shared_bytes),
                   "cudaFuncSetAttribute");
      return true;
    }();
    static_cast<void>(allowed);
  }
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(grid.blocks));
  config.blockDim = dim3(static_cast<unsigned>(grid.threads));
  config.dynamicSmemBytes = static_cast<size_t>(grid.bytes);
  config.stream = handle_of(*launch.stream);
  config.attrs = &attribute;
  const bool may_be_dependent = launch.device.launches == Dependent::yes && launch.stream->dependent_launches() == DependentLaunches::on;
  config.numAttrs = dependent == Dependent::yes && may_be_dependent ? 1 : 0;
  check_cuda(cudaLaunchKernelEx(&config, kernel, job), "cudaLaunchKernelEx");
}

}  // namespace fovea::cuda
