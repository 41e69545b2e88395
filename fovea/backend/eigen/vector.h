// The vectors of the instruction set that a file is compiled for, as the compiler's own types: no intrinsics.
// Only for files that are compiled once per instruction set; each has them in its own namespace.
#pragma once

#include <cstdint>

namespace fovea::eigen::FOVEA_ISA {

constexpr int lanes = FOVEA_LANES;
using Vector [[gnu::vector_size(lanes * sizeof(float)), gnu::aligned(sizeof(float)), gnu::may_alias]] = float;
using Integers [[gnu::vector_size(lanes * sizeof(int32_t)), gnu::aligned(sizeof(int32_t)), gnu::may_alias]] = int32_t;
using Bytes [[gnu::vector_size(lanes), gnu::aligned(1), gnu::may_alias]] = uint8_t;

[[gnu::always_inline]] inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
[[gnu::always_inline]] inline void save(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }
[[gnu::always_inline]] inline Integers load(const int32_t* from) { return *reinterpret_cast<const Integers*>(from); }
[[gnu::always_inline]] inline void save(int32_t* to, Integers value) { *reinterpret_cast<Integers*>(to) = value; }
[[gnu::always_inline]] inline Integers load(const uint8_t* from) {
  return __builtin_convertvector(*reinterpret_cast<const Bytes*>(from), Integers);
}
[[gnu::always_inline]] inline void save(uint8_t* to, Integers value) {
  *reinterpret_cast<Bytes*>(to) = __builtin_convertvector(value, Bytes);
}

}  // namespace fovea::eigen::FOVEA_ISA
