// The loop of product.h, once per instruction set.
#include "fovea/backend/openmp/product.h"

#include <algorithm>

#include "fovea/backend/openmp/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/backend/openmp/product.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace fovea::openmp::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Lanes = hn::ScalableTag<float>;
using Vector = hn::Vec<Lanes>;
using Mask = hn::Mask<Lanes>;
constexpr Lanes of;
constexpr int64_t width = hn::MaxLanes(of);

// Sums of a tile so many vectors wide that the registers hold: 32 of them with AVX-512, else 16.
constexpr int most_sums(int vectors) { return (width == 16 ? 28 : 12) / vectors; }
constexpr int most_rows = 14;  // in a line of a tile

// Only native masked stores leave alone what is beside them.
void store_part(Vector value, Mask mask, int64_t count, float* to) {
  if constexpr (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3) {
    hn::BlendedStore(value, mask, of, to);
  } else {
    HWY_ALIGN float values[width];
    hn::Store(value, of, values);
    std::copy_n(values, count, to);
  }
}

// Where rows of A lie next to each other their addresses take no registers: 5 lines of 5 rows run twice as fast.
enum class Spacing : uint8_t { adjacent, any };

template <int lines, int rows, int vectors, Columns of_b, Spacing of_a>
void tile(const Product& product, const Operands& at) {
  const auto [first, second, third] = product.walk;
  const Rows& r = product.rows;
  const int64_t row_a = of_a == Spacing::adjacent ? 1 : r.row_a, line_a = r.line_a;
  const int64_t in_last = product.columns - (vectors - 1) * width;
  const Mask last = hn::FirstN(of, static_cast<size_t>(in_last));
  const auto load_part = [&](const float* from) HWY_ATTR { return hn::MaskedLoad(last, of, from); };

  Vector sum[lines][rows][vectors];
#pragma GCC unroll 5
  for (int l = 0; l < lines; ++l)
#pragma GCC unroll 14
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < vectors; ++j) {
        const float* c = at.c + l * r.line_c + i * r.row_c + j * width;
        if (product.begin == Begin::zero)
          sum[l][i][j] = hn::Zero(of);
        else if (product.begin == Begin::bias)
          sum[l][i][j] = hn::LoadU(of, at.bias + j * width);
        else
          sum[l][i][j] = j + 1 < vectors ? hn::LoadU(of, c) : load_part(c);
      }

  const float *a1 = at.a, *b1 = at.b;
  for (int64_t t1 = 0; t1 < first.count; ++t1, a1 += first.a, b1 += first.b) {
    const float *a2 = a1, *b2 = b1;
    for (int64_t t2 = 0; t2 < second.count; ++t2, a2 += second.a, b2 += second.b) {
      const float *a = a2, *b = b2;
      for (int64_t t3 = 0; t3 < third.count; ++t3, a += third.a, b += third.b) {
        Vector column[vectors];
        for (int j = 0; j < vectors; ++j)
          column[j] = of_b == Columns::padded || j + 1 < vectors ? hn::LoadU(of, b + j * width) : load_part(b + j * width);
#pragma GCC unroll 5
        for (int l = 0; l < lines; ++l)
#pragma GCC unroll 14
          for (int i = 0; i < rows; ++i) {
            const Vector row = hn::Set(of, a[l * line_a + i * row_a]);
            for (int j = 0; j < vectors; ++j) sum[l][i][j] = hn::MulAdd(row, column[j], sum[l][i][j]);
          }
      }
    }
  }

#pragma GCC unroll 5
  for (int l = 0; l < lines; ++l)
#pragma GCC unroll 14
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < vectors; ++j) {
        float* c = at.c + l * r.line_c + i * r.row_c + j * width;
        Vector value = sum[l][i][j];
        if (product.rectify == Rectify::yes) value = hn::IfThenZeroElse(hn::Le(value, hn::Zero(of)), value);
        if (j + 1 < vectors || in_last == width)
          hn::StoreU(value, of, c);
        else
          store_part(value, last, in_last, c);
      }
}

using Tile = void (*)(const Product&, const Operands&);

template <int lines, int rows, int vectors, Columns of_b, Spacing of_a>
constexpr Tile tile_or_none() {
  if constexpr (lines * rows <= most_sums(vectors))
    return tile<lines, rows, vectors, of_b, of_a>;
  else
    return nullptr;
}

template <int lines, int vectors, Columns of_b, Spacing of_a, int... rows>
constexpr Tile tiles_of_rows[] = {nullptr, tile_or_none<lines, rows, vectors, of_b, of_a>()...};

template <int lines, int vectors, Columns of_b, Spacing of_a>
Tile tile_of(int64_t rows) {
  return tiles_of_rows<lines, vectors, of_b, of_a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>[rows];
}

template <int lines, int vectors>
Tile tile_of(const Product& product, int64_t rows) {
  const bool padded = product.columns % width == 0 || product.of_b == Columns::padded;
  if (product.rows.row_a == 1)
    return padded ? tile_of<lines, vectors, Columns::padded, Spacing::adjacent>(rows)
                  : tile_of<lines, vectors, Columns::just, Spacing::adjacent>(rows);
  return padded ? tile_of<lines, vectors, Columns::padded, Spacing::any>(rows) : tile_of<lines, vectors, Columns::just, Spacing::any>(rows);
}

Tile tile_for(const Product& product, int64_t lines, int64_t rows) {
  const bool one = product.columns <= width;
  if (lines == 5) return tile_of<5, 1>(product, rows);
  if (lines == 3) return tile_of<3, 1>(product, rows);
  if (lines == 2) return one ? tile_of<2, 1>(product, rows) : tile_of<2, 2>(product, rows);
  return one ? tile_of<1, 1>(product, rows) : tile_of<1, 2>(product, rows);
}

// How many of the lines that are left go into one tile: several where one is too short to fill the registers.
int64_t lines_together(const Product& product, int64_t left) {
  const int64_t rows = product.rows.rows, vectors = product.columns <= width ? 1 : 2, most = most_sums(static_cast<int>(vectors));
  if (rows > most_rows) return 1;
  for (const int64_t lines : {5, 3, 2})
    if (lines <= left && lines * rows <= most && (lines == 2 || vectors == 1)) return lines;
  return 1;
}

// The same rows with as many as there can be in a line.
Rows in_long_lines(Rows r) {
  if (r.rows == 1 && r.lines > 1) return {.rows = r.lines, .row_a = r.line_a, .row_c = r.line_c};
  if (r.line_a == r.rows * r.row_a && r.line_c == r.rows * r.row_c) return {.rows = r.lines * r.rows, .row_a = r.row_a, .row_c = r.row_c};
  return r;
}

// The same walk with as long an innermost loop as there can be.
std::array<Loop, 3> with_long_loops(std::array<Loop, 3> walk) {
  for (int twice = 0; twice < 2; ++twice) {
    auto& [first, second, third] = walk;
    const bool joins = second.a == third.count * third.a && second.b == third.count * third.b;
    if (third.count != 1 && !joins) break;
    third = third.count == 1 ? second : Loop{second.count * third.count, third.a, third.b};
    second = first;
    first = {};
  }
  return walk;
}

// Lines of tiles as equal as they can be.
void multiply_here(const Product& given, const Operands& at) {
  Product product = given;
  product.rows = in_long_lines(given.rows);
  product.walk = with_long_loops(given.walk);
  const Rows& r = product.rows;
  const int64_t most = std::min(most_rows, most_sums(product.columns <= width ? 1 : 2));
  const int64_t tiles = (r.rows + most - 1) / most, rows = r.rows / tiles, longer = r.rows % tiles;
  Operands here = at;
  for (int64_t line = 0, together; line < r.lines; line += together) {
    together = lines_together(product, r.lines - line);
    const Tile shorter = tile_for(product, together, rows), other = longer > 0 ? tile_for(product, together, rows + 1) : nullptr;
    here.a = at.a + line * r.line_a;
    here.c = at.c + line * r.line_c;
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t count = rows + (i < longer ? 1 : 0);
      (i < longer ? other : shorter)(product, here);
      here.a += count * r.row_a;
      here.c += count * r.row_c;
    }
  }
}

}  // namespace
}  // namespace fovea::openmp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::openmp {

HWY_EXPORT(multiply_here);
void multiply(const Product& product, const Operands& at) { HWY_DYNAMIC_DISPATCH(multiply_here)(product, at); }

}  // namespace fovea::openmp
#endif
