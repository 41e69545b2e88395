// The one loop behind convolutions and linear layers: a tile of rows by one or two vectors of columns is held in registers while a walk of
// up to three loops adds A[row] * B[column] at each step.
#pragma once

#include <array>
#include <cstdint>

namespace fovea::openmp {

struct Loop {
  int64_t count = 1;
  int64_t a = 0, b = 0;  // floats from one step to the next
};

// Rows of C and what they read of A: `lines` of `rows` each.
struct Rows {
  int64_t lines = 1, line_a = 0, line_c = 0;
  int64_t rows = 1, row_a = 0, row_c = 0;
};

enum class Begin : uint8_t { zero, bias, c };   // what a sum begins with
enum class Rectify : uint8_t { no, yes };       // c = c > 0 ? c : 0
enum class Columns : uint8_t { padded, just };  // whether b is readable up to a whole vector of columns

struct Product {
  std::array<Loop, 3> walk = {};  // the outermost first
  Rows rows;
  int64_t columns = 1;  // at most two vectors
  Columns of_b = Columns::padded;
  Begin begin = Begin::zero;
  Rectify rectify = Rectify::no;
};

struct Operands {
  const float* a = nullptr;
  const float* b = nullptr;
  float* c = nullptr;
  const float* bias = nullptr;  // readable up to a whole vector of columns
};

void multiply(const Product& product, const Operands& at);

}  // namespace fovea::openmp
