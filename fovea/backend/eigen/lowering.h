// im2col and its transpose: the pixels under the window of an output pixel, side by side in the order of the filter (r, s, c).
#pragma once

#include "fovea/graph/op.h"

namespace fovea::eigen {

// Output pixels (n, p, q) in their order from an image on, of one group of channels.
struct PatchRows {
  int64_t first = 0, count = 0, group = 0;
};

inline int64_t patch_length(const Conv2dShape& shape) { return shape.window.r * shape.window.s * (shape.c / shape.groups); }

// Output pixels whose patches are lowered at a time: as many as half a second-level cache holds.
int64_t block_rows(const Conv2dShape& shape);

// columns (count, patch_length) = the patches of x (n, h, w, c) from that image on, zero outside the images.
void gather_patches(const Conv2dShape& shape, const PatchRows& rows, const float* x, float* columns);

// dx += the patches in columns, each at its place.
void scatter_patches(const Conv2dShape& shape, const PatchRows& rows, const float* columns, float* dx);

// The same for all patches of some images of one group without dilation along w: what falls on one place is summed first. Sixteen floats
// behind `columns` have to be readable.
void scatter_images(const Conv2dShape& shape, int64_t images, const float* columns, float* dx);

}  // namespace fovea::eigen
