// A training run as lines that MLPerf's tools read, on stdout.
#pragma once

#include <optional>

#include "fovea/train/callbacks.h"

namespace fovea::cli {

class MlperfLog final : public train::Callbacks {
 public:
  ~MlperfLog() override;  // a run that has not ended by now was aborted
  void on_start(const train::RunInfo& info) override;
  void on_epoch(const train::Epoch& epoch) override;
  bool stop_requested() override;
  void end(double test_accuracy, int64_t kept_epoch);

 private:
  std::optional<int64_t> last_time_;  // of the run or epoch that ended last, ms since 1970; nothing before the run and after it
  bool validated_ = false;
};

}  // namespace fovea::cli
