#include "fovea/tensor/dtype.h"

#include <array>

namespace fovea {
namespace {

struct Facts {
  size_t bytes;
  std::string_view name;
};
constexpr std::array<Facts, 8> facts = {{{4, "f32"}, {8, "f64"}, {1, "u8"}, {2, "u16"}, {4, "i32"}, {1, "byte"}, {2, "bf16"}, {2, "fp16"}}};

}  // namespace

size_t bytes_of(DType dtype) { return facts[static_cast<size_t>(dtype)].bytes; }
std::string_view name_of(DType dtype) { return facts[static_cast<size_t>(dtype)].name; }

bool is_small_float(DType dtype) { return dtype == DType::bf16 || dtype == DType::fp16; }
bool is_floating(DType dtype) { return dtype == DType::f32 || dtype == DType::f64 || is_small_float(dtype); }

}  // namespace fovea
