// Launches of kernels that may start before the one in front of them has ended: those that wait for it (dependent.cuh) before they read
// what it wrote or write what it touches. CUDA programming guide, "Programmatic dependent launch".
#pragma once

#include "fovea/device/cuda.h"

namespace fovea::cuda {

struct Grid {
  int blocks = 1;
  int threads = 1;
  int shared_bytes = 0;  // dynamic
};

// What a kernel does about the one in front of it begins with compute capability 9.0.
template <class... Parameters>
bool knows_dependent_launches(void (*kernel)(Parameters...)) {
  constexpr int least = 90;  // compute capability, without the point
  cudaFuncAttributes compiled;
  check_cuda(cudaFuncGetAttributes(&compiled, kernel), "cudaFuncGetAttributes");
  return compiled.ptxVersion >= least;
}

template <class... Parameters>
void launch_dependent(const char* name, void (*kernel)(Parameters...), const Grid& grid, Stream& stream, const Parameters&... parameters) {
  static const bool known = knows_dependent_launches(kernel);  // all kernels of this module are compiled alike
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(grid.blocks));
  config.blockDim = dim3(static_cast<unsigned>(grid.threads));
  config.dynamicSmemBytes = static_cast<size_t>(grid.shared_bytes);
  config.stream = handle_of(stream);
  config.attrs = &attribute;
  config.numAttrs = known && stream.dependent_launches() == DependentLaunches::on ? 1 : 0;
  check_cuda(cudaLaunchKernelEx(&config, kernel, parameters...), name);
}

}  // namespace fovea::cuda
