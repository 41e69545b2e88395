#include "fovea/base/error.h"

namespace fovea {

Error::Error(ErrorId id, std::string message) : story_(&story_of(id)), message_(std::move(message)) { add_line(""); }

Error::Error(ExitCode code, std::string message) : Error(general_id(code), std::move(message)) {}

Error& Error::at(std::string file, int line) {
  add_line("\n  --> " + file + (line > 0 ? ":" + std::to_string(line) : ""));
  return *this;
}

Error& Error::note(std::string fact) {
  add_line("\n  note: " + fact);
  return *this;
}

Error& Error::help(std::string remedy) {
  has_help_ = true;
  add_line("\n  help: " + remedy);
  return *this;
}

void Error::add_line(const std::string& line) {
  lines_ += line;
  text_ = message_ + lines_;
  if (story_->code != ExitCode::requeue) text_.insert(0, "error[" + name_of(story_->id) + "]: ");
  if (!has_help_) text_.append("\n  help: ").append(story_->remedy);
}

}  // namespace fovea
