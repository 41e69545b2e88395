// What a comparison says, in words.
#pragma once

#include <string>
#include <vector>

#include "fovea/report/comparison.h"

namespace fovea::report {

struct Answer {
  std::string question, text;
  std::string source;       // the members of result.json that it is from
  std::string remark = "";  // on a text that is to be copied as it is
};

std::string headline(const Comparison& comparison);         // the answer in one sentence
std::vector<Answer> answers(const Comparison& comparison);  // which is fastest, by how much, how sure, accuracy, memory, energy, repeating
std::string command_line(const std::vector<std::string>& command);  // as a shell takes it

}  // namespace fovea::report
