// From what the rows left behind to the figures of the table.
#pragma once

#include "fovea/study/compare_settings.h"
#include "fovea/study/comparison.h"
#include "fovea/study/contestant.h"
#include "fovea/study/sampler.h"

namespace fovea::study {

// Of pairs of turns in the same round of the same seed; of medians, where these are too few.
Ratio speed_ratio(const Findings& of, const Findings& against);

// The rows, the question and what is to be noted.
void summarise(Comparison& comparison, const CompareSettings& settings, const std::vector<Findings>& findings, const Sampler& sampler);

Environment environment_of(const Nvml& nvml, const std::vector<Findings>& findings);

}  // namespace fovea::study
