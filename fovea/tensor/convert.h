// From one floating-point type to another, in host memory.
#pragma once

#include <span>
#include <vector>

#include "fovea/tensor/tensor.h"

namespace fovea {

// Of f32, f64, bf16 and fp16; other types are an Error (internal). What is written is rounded once, to the nearest, ties to even.
void widen(const Tensor& from, std::span<double> to);
void narrow(std::span<const double> from, const Tensor& to);
void convert(const Tensor& from, const Tensor& to);
std::vector<std::byte> converted(std::span<const std::byte> from, DType from_dtype, DType to_dtype);

}  // namespace fovea
