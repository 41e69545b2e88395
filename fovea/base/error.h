// The one error type: what went wrong, where, with which values, and how to put it right.
#pragma once

#include <exception>
#include <string>

#include "fovea/base/error_stories.h"

namespace fovea {

// throw Error(ErrorId::unfit_layer, "layer `conv3` needs 3 input channels but gets 1").at("models/xray.toml", 18).help("...");
class Error : public std::exception {
 public:
  Error(ErrorId id, std::string message);
  Error(ExitCode code, std::string message);  // what no id says more exactly: the general one with that code

  Error& at(std::string file, int line = 0);  // line 0: the file as a whole
  Error& note(std::string fact);
  Error& help(std::string remedy);  // without it, the remedy of the id's story is shown

  ErrorId id() const { return story_->id; }
  ExitCode code() const { return story_->code; }
  const std::string& message() const { return message_; }               // the first line alone
  const char* what() const noexcept override { return text_.c_str(); }  // all lines, as the program prints them

 private:
  void add_line(const std::string& line);

  const ErrorStory* story_;
  std::string message_, lines_, text_;
  bool has_help_ = false;
};

}  // namespace fovea
