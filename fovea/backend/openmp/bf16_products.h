// Products of bf16 by instructions of the processor's own, for what it can do at most (fovea/backend/load.h). No operator uses them: those
// of this backend compute in float, and those of `onednn` are oneDNN's.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace fovea::openmp {

struct Bf16Products {
  std::string_view name;                            // of the instructions
  void (*run)(int64_t rounds, float* y) = nullptr;  // of Load::tile floats y, on this thread
};

std::vector<Bf16Products> bf16_products();  // that processor and system allow, the widest first

}  // namespace fovea::openmp
