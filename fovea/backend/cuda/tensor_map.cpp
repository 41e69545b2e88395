#include "fovea/backend/cuda/tensor_map.h"

#include <fmt/format.h>

#include <vector>

#include "fovea/base/error.h"
#include "fovea/device/cuda.h"

namespace fovea::cuda {
namespace {

// The driver's function of this name: the module links the runtime alone.
template <class Function>
Function* driver_function(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  check_cuda(cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found), "cudaGetDriverEntryPointByVersion");
  if (found != cudaDriverEntryPointSuccess || function == nullptr)
    throw Error(ExitCode::device, fmt::format("the driver has no function `{}`", name)).help("install a driver for CUDA 12 or newer");
  return reinterpret_cast<Function*>(function);
}

void check_map(CUresult result, const char* what) {
  if (result != CUDA_SUCCESS)
    throw Error(ExitCode::internal, fmt::format("the driver refuses a map of {}: error {}", what, static_cast<int>(result)));
}

CUtensorMapDataType type_of(DType dtype) {
  return dtype == DType::bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
}

CUtensorMapSwizzle pattern_of(int inner_elements) {
  switch (inner_elements * 2) {
    case 128:
      return CU_TENSOR_MAP_SWIZZLE_128B;
    case 64:
      return CU_TENSOR_MAP_SWIZZLE_64B;
    default:
      return CU_TENSOR_MAP_SWIZZLE_32B;
  }
}

constexpr CUtensorMapL2promotion promotion = CU_TENSOR_MAP_L2_PROMOTION_L2_256B;

std::vector<cuuint64_t> strides_of(std::span<const cuuint64_t> sizes) {
  std::vector<cuuint64_t> strides;
  cuuint64_t bytes = 2;
  for (const cuuint64_t size : sizes.first(sizes.size() - 1)) strides.push_back(bytes *= size);
  return strides;
}

}  // namespace

CUtensorMap map_of_tiles(const void* data, DType dtype, std::span<const int64_t> sizes, std::span<const int> tile) {
  static const auto encode = driver_function<decltype(cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  const std::vector<cuuint64_t> dims(sizes.begin(), sizes.end()), strides = strides_of(dims);
  const std::vector<cuuint32_t> box(tile.begin(), tile.end()), steps(tile.size(), 1);
  CUtensorMap map;
  check_map(
      encode(&map, type_of(dtype), static_cast<cuuint32_t>(dims.size()), const_cast<void*>(data), dims.data(), strides.data(), box.data(),
             steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, pattern_of(tile[0]), promotion, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
      "tiles");
  return map;
}

namespace {

struct Corners {
  std::array<int, 2> lower, upper;  // w, h
};
Corners corners_of(const Windows& windows) {
  return {{windows.lower_w, windows.lower_h},
          {(windows.q - 1) * windows.stride_w + windows.lower_w - (windows.w - 1),
           (windows.p - 1) * windows.stride_h + windows.lower_h - (windows.h - 1)}};
}

}  // namespace

CUtensorMap map_of_patches(const void* data, DType dtype, const Windows& windows, int windows_of_tile, int channels) {
  static const auto encode = driver_function<decltype(cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  const std::array<cuuint64_t, 4> dims = {static_cast<cuuint64_t>(windows.c), static_cast<cuuint64_t>(windows.w),
                                          static_cast<cuuint64_t>(windows.h), static_cast<cuuint64_t>(windows.n)};
  const int64_t pixel = windows.pixel_stride > 0 ? windows.pixel_stride : windows.c;
  const int64_t row = windows.row_stride > 0 ? windows.row_stride : pixel * windows.w;
  const std::array<cuuint64_t, 3> strides = {static_cast<cuuint64_t>(pixel * 2), static_cast<cuuint64_t>(row * 2),
                                             static_cast<cuuint64_t>(row * windows.h * 2)};
  const std::array<cuuint32_t, 4> steps = {1, static_cast<cuuint32_t>(windows.stride_w), static_cast<cuuint32_t>(windows.stride_h), 1};
  const Corners corners = corners_of(windows);
  CUtensorMap map;
  check_map(encode(&map, type_of(dtype), 4, const_cast<void*>(data), dims.data(), strides.data(), corners.lower.data(),
                   corners.upper.data(), static_cast<cuuint32_t>(channels), static_cast<cuuint32_t>(windows_of_tile), steps.data(),
                   CU_TENSOR_MAP_INTERLEAVE_NONE, pattern_of(channels), promotion, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
            "patches");
  return map;
}

bool can_be_mapped(const Windows& windows) {
  const Corners corners = corners_of(windows);
  for (const int corner : {corners.lower[0], corners.lower[1], corners.upper[0], corners.upper[1]})
    if (corner < -128 || corner > 127) return false;
  return windows.stride_h <= 8 && windows.stride_w <= 8 && windows.c % 8 == 0;
}

}  // namespace fovea::cuda
