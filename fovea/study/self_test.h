// A small convolution on a backend, against the reference: whether the backend works here at all.
#pragma once

#include "fovea/backend/backend.h"

namespace fovea::study {

struct SelfTest {
  double largest_error = 0;  // relative to the largest value of the reference
  double seconds = 0;        // of one run after a first one
  std::string algorithm;
};
SelfTest small_convolution(Backend& backend, const Limits& limits);

}  // namespace fovea::study
