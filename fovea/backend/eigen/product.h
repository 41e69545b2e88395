// Dense products of row-major matrices and tiles of direct convolutions, compiled once per instruction set and chosen when first used.
#pragma once

#include <cstdint>

namespace fovea::eigen {

// c (rows, columns) = or += a b over `depth`; the strides are those of the rows as they lie in memory.
struct Product {
  int64_t rows = 0, columns = 0, depth = 0;
  const float* a = nullptr;
  int64_t a_stride = 0;
  const float* b = nullptr;
  int64_t b_stride = 0;
  float* c = nullptr;
  int64_t c_stride = 0;
};
enum class Accumulate : uint8_t { no, yes };

struct Products {
  const char* isa;                                     // "x86-64-v4"
  void (*a_b)(const Product&, Accumulate);             // a (rows, depth), b (depth, columns)
  void (*a_b_transposed)(const Product&, Accumulate);  // a (rows, depth), b (columns, depth)
  void (*a_transposed_b)(const Product&, Accumulate);  // a (depth, rows), b (depth, columns)
};

// Of the best instruction set that this processor has.
const Products& products();

}  // namespace fovea::eigen
