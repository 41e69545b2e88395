// Choices that were made by measuring, which a run keeps so that it measures once and every run with the same choices gives the same bits.
#pragma once

#include <map>
#include <string>

namespace fovea {

class Tuning {
 public:
  struct Choice {
    std::string taken;
    double microseconds = 0;
    std::string rejected;  // the fastest of the others; empty: there was none
    double rejected_microseconds = 0;
    bool operator==(const Choice&) const = default;
  };

  explicit Tuning(std::string platform = {}) : platform_(std::move(platform)) {}
  const std::string& platform() const { return platform_; }  // where it was measured: see Backend::platform

  // `problem` says all that the times depend on: "cudnn conv2d_forward bf16 n256 h56 w56 c64 k64 3x3 s1 p1".
  const Choice* find(const std::string& problem) const;  // nullptr: not measured; stays where it is when others are kept
  void keep(const std::string& problem, Choice choice);
  const std::map<std::string, Choice>& choices() const { return choices_; }

  bool operator==(const Tuning&) const = default;

 private:
  std::string platform_;
  std::map<std::string, Choice> choices_;
};

}  // namespace fovea
