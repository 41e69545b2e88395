// Sizes of a tensor, outermost first. Images are (n, h, w, c), filters (k, r, s, c).
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace fovea {

class Shape {
 public:
  static constexpr int max_rank = 5;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
  explicit Shape(std::span<const int64_t> sizes);  // throws Error (config) on a size below 1, or a product beyond 2^62

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return sizes_[static_cast<size_t>(axis)]; }
  int64_t elements() const { return elements_; }  // 1 for rank 0
  std::string text() const;                       // "(64, 28, 28, 1)"

  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, max_rank> sizes_{};
  int rank_ = 0;
  int64_t elements_ = 1;
};

}  // namespace fovea
