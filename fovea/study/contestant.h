// One row of a comparison while it is trained: takes its turns and notes what they took.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "fovea/study/compare.h"
#include "fovea/study/sampler.h"
#include "fovea/train/run.h"

namespace fovea::study {

// What all seeds of a row have left behind.
struct Findings {
  Entry entry;
  train::RunInfo info;
  train::SharedData data;  // of the last seed
  std::vector<SeedRun> runs;
  std::vector<std::vector<Window>> windows;            // of training, by run
  std::vector<Window> windows_of_speed;                // of turns behind the training
  std::vector<int64_t> images;                         // trained within them, by run
  std::vector<double> kept_train, kept_valid, tested;  // accuracies, by run that came to its end
  std::vector<double> seconds_to_target;               // by run that reached it
  double host_bytes = 0;
  std::optional<double> device_bytes;  // nothing: its device is the host
  double flops_per_step = 0, bytes_per_step = 0;
  std::map<std::string, int64_t> providers;  // steps of the plan by whose kernel runs them
  std::vector<std::string> warnings;
  std::string stayed;   // why its memory did not move before a turn; empty: it moved before each, or is that of a GPU
  std::string refused;  // why it could not run, or not to its end; empty: it could
  ExitCode refused_with = ExitCode::ok;
  double predicted_bytes = 0;  // also of a refused one
};

class Contestant {
 public:
  struct Surroundings {
    Sampler& sampler;
    CompareWatcher& watcher;
    std::optional<double> target_accuracy;
    bool trains = true;  // else speed alone
  };
  // Makes plans and takes memory; throws BatchTooLarge and what Trainer throws. `recipe`: with the row's settings and its folder.
  Contestant(Findings& findings, const train::Recipe& recipe, train::SharedData data, const Surroundings& surroundings);
  ~Contestant();

  const Findings& findings() const { return findings_; }
  double seconds_per_step() const { return seconds_per_step_; }  // after the warm-up, roughly
  int64_t steps_left() const;                                    // of the training, if nothing ends it early
  bool done() const;
  int64_t timed_steps() const { return timed_steps_; }

  void warm_up();                                 // steps of the training, but of no round
  void train_turn(int64_t round, int64_t steps);  // finishes the run where it is done
  void speed_turn(int64_t round, int64_t steps);  // beside or behind the training: the weights do not count any more

 private:
  class Watcher;
  train::Trainer& trainer();
  void watched(const std::function<void()>& compute);
  void train(Slice& slice, int64_t steps, int64_t settling);
  void move();
  void note(Slice slice);
  void finish();
  int64_t settling_steps(int64_t steps) const;

  Findings& findings_;
  Surroundings surroundings_;
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<train::OpenRun> run_;      // where it trains
  std::unique_ptr<train::Trainer> trainer_;  // where it does not
  double seconds_per_step_ = 0, trained_seconds_ = 0, grown_bytes_ = 0;
  double device_free_before_ = 0;
  int64_t steps_ = 0, timed_steps_ = 0;
  bool on_host_ = true, finished_ = false;
};

}  // namespace fovea::study
