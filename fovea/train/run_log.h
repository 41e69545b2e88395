// log.txt of a run: a line, with its time, for everything that happens; and the lock of its folder.
#pragma once

#include <filesystem>
#include <string>

#include "fovea/train/callbacks.h"

namespace fovea::train {

class RunLog final : public Callbacks {
 public:
  // Adds to the log in `folder`. Throws Error (usage) while another process writes there.
  explicit RunLog(const std::filesystem::path& folder);
  ~RunLog() override;
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  void clear();
  void write(const std::string& text);  // one line, or several that belong together
  void on_start(const RunInfo& info) override;
  void on_epoch(const Epoch& epoch) override;
  void on_note(const Note& note) override;

 private:
  std::filesystem::path path_;
  int file_;
};

}  // namespace fovea::train
