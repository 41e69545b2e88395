// im2col and its transpose.
#include "fovea/backend/eigen/lowering.h"

#include <algorithm>
#include <cstring>

#include "fovea/backend/eigen/clones.h"

namespace fovea::eigen {
namespace {

// Both go through runs of any length in pieces of fixed lengths, which become whole vectors.
struct Copy {
  template <int64_t piece>
  [[gnu::always_inline]] static void pieces(float* __restrict patch, const float* __restrict pixels, int64_t& i, int64_t count) {
    for (; i + piece <= count; i += piece) std::memcpy(patch + i, pixels + i, piece * sizeof(float));
  }
  [[gnu::always_inline]] static void inside(float* __restrict patch, const float* __restrict pixels, int64_t count) {
    int64_t i = 0;
    pieces<16>(patch, pixels, i, count);
    pieces<4>(patch, pixels, i, count);
    pieces<1>(patch, pixels, i, count);
  }
  [[gnu::always_inline]] static void outside(float* patch, int64_t count) { std::fill_n(patch, count, 0.0f); }
};

struct Add {
  template <int64_t piece>
  [[gnu::always_inline]] static void pieces(const float* __restrict patch, float* __restrict pixels, int64_t& i, int64_t count) {
    for (; i + piece <= count; i += piece)
#pragma omp simd
      for (int64_t j = 0; j < piece; ++j) pixels[i + j] += patch[i + j];
  }
  [[gnu::always_inline]] static void inside(const float* __restrict patch, float* __restrict pixels, int64_t count) {
    int64_t i = 0;
    pieces<16>(patch, pixels, i, count);
    pieces<8>(patch, pixels, i, count);
    pieces<4>(patch, pixels, i, count);
    pieces<1>(patch, pixels, i, count);
  }
  [[gnu::always_inline]] static void outside(const float*, int64_t) {}
};

// One line of a patch: s places of c channels, of which those inside the image are next to each other where the dilation is 1.
template <class Visit, class Patch, class Pixels>
[[gnu::always_inline]] inline void visit_line(const Conv2dShape& shape, int64_t first_w, Patch* patch, Pixels* line) {
  const Window& window = shape.window;
  const int64_t c = shape.c / shape.groups;
  if (window.dilation_w == 1 && shape.groups == 1) {
    const int64_t begin = std::clamp<int64_t>(-first_w, 0, window.s), end = std::clamp<int64_t>(shape.w - first_w, begin, window.s);
    if (begin > 0) Visit::outside(patch, begin * c);
    Visit::inside(patch + begin * c, line + (first_w + begin) * c, (end - begin) * c);
    if (end < window.s) Visit::outside(patch + end * c, (window.s - end) * c);
    return;
  }
  for (int64_t s = 0; s < window.s; ++s, patch += c) {
    const int64_t w = first_w + s * window.dilation_w;
    if (w < 0 || w >= shape.w)
      Visit::outside(patch, c);
    else
      Visit::inside(patch, line + w * shape.c, c);
  }
}

template <class Visit, class Patch, class Pixels>
[[gnu::always_inline]] inline void visit_patches(const Conv2dShape& shape, const PatchRows& rows, Pixels* pixels, Patch* columns) {
  const Window& window = shape.window;
  const int64_t p_count = shape.p(), q_count = shape.q(), c = shape.c / shape.groups, line_length = window.s * c;
  int64_t q = rows.first % q_count, p = rows.first / q_count % p_count, n = rows.first / q_count / p_count;
  for (int64_t row = 0; row < rows.count; ++row) {
    const int64_t first_h = p * window.stride_h - window.pad_top, first_w = q * window.stride_w - window.pad_left;
    for (int64_t r = 0; r < window.r; ++r, columns += line_length) {
      const int64_t h = first_h + r * window.dilation_h;
      if (h < 0 || h >= shape.h)
        Visit::outside(columns, line_length);
      else
        visit_line<Visit>(shape, first_w, columns, pixels + (n * shape.h + h) * shape.w * shape.c + rows.group * c);
    }
    if (++q == q_count) {
      q = 0;
      if (++p == p_count) {
        p = 0;
        ++n;
      }
    }
  }
}

// Sixteen floats, whatever vectors they become.
using Piece [[gnu::vector_size(16 * sizeof(float)), gnu::aligned(sizeof(float)), gnu::may_alias]] = float;

// Which lines of patches fall on line h of an image: the first of them, and the distance to the next.
struct Overlap {
  int64_t first = 0, count = 0, step = 0;  // in floats of columns
};

// Of the lines r of patches p with p stride - pad + r dilation = h; r falls as p rises, each by a fixed step.
Overlap overlap(const Conv2dShape& shape, int64_t h) {
  const Window& window = shape.window;
  const int64_t length = patch_length(shape), line = length / window.r, patches = shape.q() * length;
  Overlap result;
  int64_t last = 0;
  for (int64_t r = 0; r < window.r; ++r) {
    const int64_t from = h + window.pad_top - r * window.dilation_h;
    if (from < 0 || from % window.stride_h != 0 || from / window.stride_h >= shape.p()) continue;
    const int64_t offset = from / window.stride_h * patches + r * line;
    if (result.count == 0)
      result.first = offset;
    else
      result.step = offset - last;
    last = offset;
    ++result.count;
  }
  return result;
}

[[gnu::always_inline]] inline void add_overlap(const Overlap& lines, const float* columns, int64_t run, float* dx) {
  for (int64_t i = 0; i < run; i += 16) {
    const float* from = columns + lines.first + i;
    Piece sum = *reinterpret_cast<const Piece*>(from);
    for (int64_t line = 1; line < lines.count; ++line) sum += *reinterpret_cast<const Piece*>(from + line * lines.step);
    if (i + 16 <= run)
      *reinterpret_cast<Piece*>(dx + i) += sum;
    else
      Add::inside(reinterpret_cast<const float*>(&sum), dx + i, run - i);
  }
}

}  // namespace

int64_t block_rows(const Conv2dShape& shape) {
  constexpr int64_t floats = 512 * 1024 / sizeof(float);
  return std::min(std::clamp<int64_t>(floats / patch_length(shape), 64, 1024), shape.n * shape.p() * shape.q());
}

FOVEA_CLONES void gather_patches(const Conv2dShape& shape, const PatchRows& rows, const float* x, float* columns) {
  visit_patches<Copy>(shape, rows, x, columns);
}

FOVEA_CLONES void scatter_patches(const Conv2dShape& shape, const PatchRows& rows, const float* columns, float* dx) {
  visit_patches<Add>(shape, rows, dx, columns);
}

FOVEA_CLONES void scatter_images(const Conv2dShape& shape, int64_t images, const float* columns, float* dx) {
  const Window& window = shape.window;
  const int64_t c = shape.c, p_count = shape.p(), q_count = shape.q(), length = patch_length(shape);
  constexpr int64_t lines_at_a_time = 64;
  Overlap lines[lines_at_a_time];
  for (int64_t first_h = 0; first_h < shape.h; first_h += lines_at_a_time) {
    const int64_t h_count = std::min(lines_at_a_time, shape.h - first_h);
    for (int64_t h = 0; h < h_count; ++h) lines[h] = overlap(shape, first_h + h);
    for (int64_t n = 0; n < images; ++n)
      for (int64_t q = 0; q < q_count; ++q) {
        const int64_t first_w = q * window.stride_w - window.pad_left;
        const int64_t begin = std::clamp<int64_t>(-first_w, 0, window.s), end = std::clamp<int64_t>(shape.w - first_w, begin, window.s);
        const float* from = columns + (n * p_count * q_count + q) * length + begin * c;
        float* to = dx + ((n * shape.h + first_h) * shape.w + first_w + begin) * c;
        for (int64_t h = 0; h < h_count; ++h)
          if (lines[h].count > 0) add_overlap(lines[h], from, (end - begin) * c, to + h * shape.w * c);
      }
  }
}

}  // namespace fovea::eigen
