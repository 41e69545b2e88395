#include "fovea/tensor/dtype.h"

#include <array>

namespace fovea {
namespace {

struct Facts {
  size_t bytes;
  std::string_view name;
};
constexpr std::array<Facts, 6> facts = {{{4, "f32"}, {8, "f64"}, {1, "u8"}, {2, "u16"}, {4, "i32"}, {1, "byte"}}};

}  // namespace

size_t bytes_of(DType dtype) { return facts[static_cast<size_t>(dtype)].bytes; }
std::string_view name_of(DType dtype) { return facts[static_cast<size_t>(dtype)].name; }

}  // namespace fovea
