#include "fovea/base/error.h"

namespace fovea {

Error::Error(ExitCode code, std::string message)
    : code_(code), message_(std::move(message)), text_(code == ExitCode::requeue ? message_ : "error: " + message_) {}

Error& Error::at(std::string file, int line) {
  add_line("  --> " + file + (line > 0 ? ":" + std::to_string(line) : ""));
  return *this;
}

Error& Error::note(std::string fact) {
  add_line("  note: " + fact);
  return *this;
}

Error& Error::help(std::string remedy) {
  add_line("  help: " + remedy);
  return *this;
}

void Error::add_line(const std::string& line) { text_ += "\n" + line; }

}  // namespace fovea
