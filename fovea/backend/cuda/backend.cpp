// What the kernels share that needs no CUDA compiler, and the one function that the module exports.
#include "fovea/backend/cuda/backend.h"

#include <fmt/format.h>

#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/cuda/parts.h"
#include "fovea/backend/module.h"
#include "fovea/base/error.h"
#include "fovea/graph/precision.h"

namespace fovea::cuda {

DeviceTable::DeviceTable(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  check_cuda(cudaMalloc(&data_, bytes.size()), "cudaMalloc of a table");
  try {
    check_cuda(cudaMemcpy(data_, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "cudaMemcpy of a table");
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // other streams do not wait for that copy
  } catch (...) {
    cudaFree(data_);
    throw;
  }
}

DType require_values(const Op& op) {
  for (const graph::Precision& precision : {graph::fp32, graph::tf32, graph::bf16, graph::fp16})
    if (graph::types_of(op) == graph::types_of(graph::in_precision(op, precision))) return precision.values;
  const Types types = graph::types_of(op);
  throw Error(ExitCode::internal,
              fmt::format("`cuda` has no {} for x {}, w {}, y {}, accumulator {}: they are those of none of its precisions", name_of(op),
                          name_of(types.x), name_of(types.w), name_of(types.y), name_of(types.accumulator)));
}

void require_countable(const Op& op, int64_t elements) {
  if (elements <= largest_count) return;
  throw Error(ExitCode::internal, fmt::format("`cuda` has no {} where one image, one row or the weights have {} elements; at most {}",
                                              name_of(op), elements, largest_count));
}

void require_countable(const Op& op, const Window& window, int64_t h, int64_t w) {
  for (const int64_t extent : {h + window.pad_top + window.pad_bottom, w + window.pad_left + window.pad_right, window.stride_h,
                               window.stride_w, window.dilation_h * window.r, window.dilation_w * window.s})
    if (extent > largest_extent)
      throw Error(ExitCode::internal, fmt::format("`cuda` has no {} with an extent of {} in its window or its padded image; at most {}",
                                                  name_of(op), extent, largest_extent));
}

namespace {

Absence absence() try {
  const CudaAbsence device = cuda_absence();
  if (!device.because.empty()) return {device.because, device.remedy};
  cudaDeviceProp properties;
  check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  if (has_code_for_device()) return {};
  return {fmt::format("the module holds code for compute capability {} (as in sm_90), but {} has {}.{}", FOVEA_CUDA_ARCHITECTURES,
                      properties.name, properties.major, properties.minor),
          fmt::format("build again with -DFOVEA_CUDA_ARCHITECTURES={}{}", properties.major, properties.minor)};
} catch (const Error& error) {
  return {error.message(), "see whether `nvidia-smi` works and whether other programs hold the GPU"};
}

std::unique_ptr<Backend> open() { return std::make_unique<CudaBackend>(); }

const ModuleTable table = {FOVEA_SEAM_BUILD_ID, absence, open};

}  // namespace

}  // namespace fovea::cuda

extern "C" const fovea::ModuleTable* fovea_module() { return &fovea::cuda::table; }
