// Arrays in device memory as Hopper's copy engine sees them: it fetches tiles of them into shared memory, zeros where a tile hangs over the
// edge, in a pattern of 128, 64 or 32 bytes that keeps the banks apart. CUDA driver API, "Tensor Map Object Management".
#pragma once

#include <cuda.h>

#include <array>
#include <cstdint>
#include <span>

#include "fovea/tensor/dtype.h"

namespace fovea::cuda {

// A dense array of bf16 or fp16, its sizes from the innermost outwards. Every size but the outermost times 2 bytes is a multiple of 16
// bytes.
CUtensorMap map_of_tiles(const void* data, DType dtype, std::span<const int64_t> sizes, std::span<const int> tile);

// Windows that slide over images (n, h, w, c): the first begins at lower_h, lower_w, there are p x q of them in each image.
struct Windows {
  int n = 1, h = 1, w = 1, c = 1;
  int p = 1, q = 1;
  int stride_h = 1, stride_w = 1, lower_h = 0, lower_w = 0;
  int64_t pixel_stride = 0, row_stride = 0;  // elements from pixel to pixel and from row to row; 0: dense

  int64_t count() const { return int64_t{n} * p * q; }
  bool operator==(const Windows&) const = default;
};
// A tile is one element of so many windows, one after another, in so many channels.
CUtensorMap map_of_patches(const void* data, DType dtype, const Windows& windows, int windows_of_tile, int channels);
// Whether such a map can be described at all: corners and strides are small numbers in it.
bool can_be_mapped(const Windows& windows);

}  // namespace fovea::cuda
