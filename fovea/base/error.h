// The one error type: what went wrong, where, with which values, and how to put it right.
#pragma once

#include <exception>
#include <string>

namespace fovea {

// The documented exit codes of the program; the library throws them inside an Error.
enum class ExitCode : int {
  ok = 0,
  internal = 1,
  usage = 2,
  config = 3,  // model or recipe text
  data = 4,    // data sets and other input files
  device = 5,  // an asked-for backend or device is absent
  memory = 6,
  numeric = 7,   // NaN or infinity in loss or weights
  target = 8,    // a stated target was not reached
  requeue = 75,  // no error: a run stopped as it was asked to, and can go on
};

// throw Error(ExitCode::config, "layer `conv3` needs 3 input channels but gets 1").at("models/xray.toml", 18).help("...");
class Error : public std::exception {
 public:
  Error(ExitCode code, std::string message);

  Error& at(std::string file, int line = 0);  // line 0: the file as a whole
  Error& note(std::string fact);
  Error& help(std::string remedy);

  ExitCode code() const { return code_; }
  const std::string& message() const { return message_; }               // the first line alone
  const char* what() const noexcept override { return text_.c_str(); }  // all lines, as the program prints them

 private:
  void add_line(const std::string& line);

  ExitCode code_;
  std::string message_, text_;
};

}  // namespace fovea
