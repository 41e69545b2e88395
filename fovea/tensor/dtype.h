// Element types of tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fovea {

enum class DType : uint8_t {
  f32,
  f64,
  u8,
  u16,
  i32,
  byte,
  bf16,
  fp16
};  // byte: a struct that kernels read as a whole (StepControl, Metrics)

size_t bytes_of(DType dtype);
std::string_view name_of(DType dtype);
bool is_floating(DType dtype);
bool is_small_float(DType dtype);  // bf16 or fp16

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::u8;
}
template <>
constexpr DType dtype_of<uint16_t>() {
  return DType::u16;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::i32;
}

}  // namespace fovea
