// Whether the rows of a comparison are equally accurate.
#pragma once

#include <string>

#include "fovea/report/comparison.h"

namespace fovea::report {

struct AccuracyJudgement {
  std::string text;    // the answer, with what it rests on
  std::string brief;   // for the end of a sentence: "at an equal test accuracy"; "" where nothing can be said
  std::string source;  // the member of result.json that it is from
};

// On test images, else on validation images, else on training images. Equal: the best and the worst row differ by at most two
// standard errors.
AccuracyJudgement judge_accuracy(const Comparison& comparison);

}  // namespace fovea::report
