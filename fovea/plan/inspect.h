// Running a plan step by step and looking at what each step wrote.
#pragma once

#include <optional>
#include <string>

#include "fovea/plan/plan.h"

namespace fovea::plan {

struct NonFinite {
  std::string first;               // layer of the step
  size_t layers = 1;               // that the step stands for
  std::string layer, step, value;  // "conv1", "conv2d_forward", "conv1.y"
  int64_t count = 0, elements = 0;
};

std::string text_of(const NonFinite& found);  // "layer `conv1` gives 3 values that are NaN or infinite, of 512"

// Runs the plan once and names the first step that writes a NaN or an infinity.
std::optional<NonFinite> find_non_finite(Plan& plan, Device& device, Stream& stream);

}  // namespace fovea::plan
