// For files with vector loops, before Highway's own headers: the instruction sets they are compiled for.
#pragma once

#include <string_view>

// Bits 3 to 7, 11 and 12: of x86 only AVX2, AVX-512 and the baseline; those between would cost compile time and serve few. Bits 16 to 27:
// of Arm none whose vectors have no fixed length.
#define HWY_DISABLED_TARGETS 0x0FFF18F8

namespace fovea::openmp {

std::string_view isa();  // what the vector loops run as here: "AVX2"
int lanes();             // floats in a vector of it

}  // namespace fovea::openmp
