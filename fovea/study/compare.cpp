// Rounds: in each, every row takes its turn once.
#include "fovea/study/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "fovea/base/error.h"
#include "fovea/base/philox.h"
#include "fovea/study/contestant.h"
#include "fovea/study/findings.h"
#include "fovea/train/memory_limit.h"

namespace fovea::study {
namespace {

constexpr double idle_seconds = 2;
constexpr double shortest_turn = 0.05;     // seconds
constexpr double shortest_gpu_turn = 0.3;  // where the GPU's energy is counted, which comes late
constexpr double most_rounds = 200, fewest_rounds = 10;
constexpr int64_t speed_rounds = 20;
constexpr uint64_t order_seed = 3;
constexpr double narrow = 0.03;  // of the logarithm of a ratio: the interval from low to high

class Rounds {
 public:
  Rounds(const CompareSettings& settings, const std::filesystem::path& folder, CompareWatcher& watcher, Sampler& sampler,
         std::vector<Findings>& findings)
      : settings_(settings), folder_(folder), watcher_(watcher), sampler_(sampler), findings_(findings) {}

  void run_all() {
    for (int64_t i = 0; i < settings_.seeds; ++i) run_seed(settings_.recipe.seed + i);
  }

 private:
  bool trains() const { return !settings_.steps; }

  train::Recipe recipe_of(const Entry& entry, int64_t seed) const {
    train::Recipe recipe = settings_.recipe;
    recipe.backend = entry.backend;
    recipe.threads = entry.threads;
    recipe.precision = entry.precision;
    recipe.batch = entry.batch;
    recipe.seed = seed;
    recipe.out = (folder_ / run_name(entry.id, seed, static_cast<size_t>(settings_.seeds))).string();
    if (!trains()) recipe.valid = "0";
    return recipe;
  }

  // As many rows at a time as the memory holds.
  void run_seed(int64_t seed) {
    std::vector<size_t> waiting;
    for (size_t i = 0; i < findings_.size(); ++i)
      if (findings_[i].refused.empty()) waiting.push_back(i);
    if (waiting.empty()) return;
    train::Recipe any = recipe_of(findings_[waiting.front()].entry, seed);
    const train::SharedData data = train::share_training_data(any);
    while (!waiting.empty()) {
      std::vector<std::unique_ptr<Contestant>> group;
      open(group, waiting, data, seed);
      announce(group, seed);
      trains() ? train(group) : measure(group, *settings_.steps);
      if (trains() && seed == settings_.recipe.seed + settings_.seeds - 1) narrow_down(group);
    }
  }

  // Takes out of `waiting` what is opened or refused.
  void open(std::vector<std::unique_ptr<Contestant>>& group, std::vector<size_t>& waiting, const train::SharedData& data, int64_t seed) {
    std::vector<size_t> later;
    for (const size_t i : waiting) {
      Findings& findings = findings_[i];
      try {
        const Contestant::Surroundings surroundings = {sampler_, watcher_, settings_.target_accuracy, trains()};
        auto contestant = std::make_unique<Contestant>(findings, recipe_of(findings.entry, seed), data, surroundings);
        contestant->warm_up();
        group.push_back(std::move(contestant));
      } catch (const Error& error) {
        if (error.code() == ExitCode::memory && !group.empty()) {
          later.push_back(i);
        } else {
          refuse(findings, error);
        }
      }
    }
    waiting = later;
  }

  // What concerns a row alone; anything else ends the comparison.
  static void refuse(Findings& findings, const Error& error) {
    if (error.code() != ExitCode::memory && error.code() != ExitCode::numeric && error.code() != ExitCode::device) throw error;
    findings.refused = error.message();
    findings.refused_with = error.code();
    if (const auto* batch = dynamic_cast<const train::BatchTooLarge*>(&error)) {
      findings.predicted_bytes = static_cast<double>(batch->needed());
      findings.refused += batch->largest_batch() > 0 ? fmt::format("; the largest batch that fits is {}", batch->largest_batch())
                                                     : std::string("; no batch fits");
    }
  }

  void announce(const std::vector<std::unique_ptr<Contestant>>& group, int64_t seed) {
    std::string names;
    for (const auto& one : group) names += (names.empty() ? "" : ", ") + one->findings().entry.id;
    watcher_.on_stage(fmt::format("seed {}: {}", seed, names.empty() ? "no row" : names));
  }

  // Every row once, in an order drawn anew: in a fixed one, another program that comes and goes as often as the rounds do would always meet
  // the same row. One that fails is refused and takes no more turns.
  template <class Turn>
  void round(std::vector<std::unique_ptr<Contestant>>& group, const Turn& turn) {
    ++round_;
    const uint64_t count = group.size();
    std::vector<const Contestant*> failed;
    for (uint64_t i = 0; i < count; ++i) {
      Contestant& contestant = *group[shuffled_index(i, count, order_seed, static_cast<uint32_t>(round_))];
      try {
        turn(contestant);
      } catch (const Error& error) {
        refuse(findings_of(contestant), error);
        failed.push_back(&contestant);
      }
    }
    std::erase_if(group, [&](const auto& one) { return std::find(failed.begin(), failed.end(), one.get()) != failed.end(); });
  }
  Findings& findings_of(const Contestant& contestant) {
    return *std::find_if(findings_.begin(), findings_.end(), [&](const Findings& one) { return &one == &contestant.findings(); });
  }

  double turn_seconds() const { return sampler_.meter().measures_gpu() ? shortest_gpu_turn : shortest_turn; }

  // All rows have the same number of rounds, so many that the turn of the fastest is not too short.
  void train(std::vector<std::unique_ptr<Contestant>>& group) {
    double rounds = most_rounds;
    for (const auto& one : group)
      rounds = std::min(rounds, static_cast<double>(one->steps_left()) * one->seconds_per_step() / turn_seconds());
    const auto expected = static_cast<int64_t>(std::clamp(rounds, fewest_rounds, most_rounds));
    std::vector<std::pair<const Contestant*, int64_t>> steps;
    for (const auto& one : group) steps.emplace_back(one.get(), std::max<int64_t>(1, (one->steps_left() + expected - 1) / expected));
    const auto steps_of = [&](const Contestant& contestant) {
      return std::find_if(steps.begin(), steps.end(), [&](const auto& pair) { return pair.first == &contestant; })->second;
    };
    const auto is_done = [](const std::unique_ptr<Contestant>& one) { return one->done(); };
    for (int64_t done = 0; !std::all_of(group.begin(), group.end(), is_done); ++done) {
      watcher_.on_round(done, expected);
      round(group, [&](Contestant& one) {
        if (!one.done()) one.train_turn(round_, steps_of(one));
      });
    }
    watcher_.on_round(expected, expected);
  }

  void speed_round(std::vector<std::unique_ptr<Contestant>>& group) {
    if (watcher_.stop_requested()) throw Error(ExitCode::requeue, "stopped, as asked");
    round(group, [&](Contestant& one) {
      one.speed_turn(round_, std::max<int64_t>(1, static_cast<int64_t>(turn_seconds() / std::max(one.seconds_per_step(), 1e-9))));
    });
  }

  // At least `steps` of each row, then until the intervals are narrow or it has taken too long.
  void measure(std::vector<std::unique_ptr<Contestant>>& group, int64_t steps) {
    const auto has_enough = [&](const std::unique_ptr<Contestant>& one) { return one->timed_steps() >= steps; };
    Stopwatch since_enough;
    for (int64_t done = 0; !group.empty(); ++done) {
      watcher_.on_round(done, speed_rounds);
      const bool enough = std::all_of(group.begin(), group.end(), has_enough) && done >= static_cast<int64_t>(least_rounds);
      if (!enough) since_enough.restart();
      if (enough && since_enough.seconds() > settings_.extra_seconds) break;
      if (enough && done >= speed_rounds && done % 10 == 0 && all_narrow(group)) break;
      speed_round(group);
    }
  }

  // More turns of speed alone behind a short training.
  void narrow_down(std::vector<std::unique_ptr<Contestant>>& group) {
    const Stopwatch watch;
    const auto is_settled = [&] { return all_narrow(group) && gpu_power_is_known(group); };
    for (double longest = 0; !group.empty() && !is_settled() && watch.seconds() + longest < settings_.extra_seconds;) {
      for (int i = 0; i < 5 && watch.seconds() + longest < settings_.extra_seconds; ++i) {
        const Stopwatch round;
        speed_round(group);
        longest = std::max(longest, round.seconds());
      }
    }
  }

  // The GPU's counter is late: of short turns it says nothing.
  bool gpu_power_is_known(const std::vector<std::unique_ptr<Contestant>>& group) const {
    const auto is_long = [](const Window& window) { return window.end - window.begin >= shortest_gpu_turn; };
    return !sampler_.meter().measures_gpu() || std::all_of(group.begin(), group.end(), [&](const std::unique_ptr<Contestant>& one) {
      const Findings& row = one->findings();
      const std::vector<Window>& training = row.windows.back();
      return !row.device_bytes || std::any_of(training.begin(), training.end(), is_long) ||
             std::any_of(row.windows_of_speed.begin(), row.windows_of_speed.end(), is_long);
    });
  }

  bool all_narrow(const std::vector<std::unique_ptr<Contestant>>& group) const {
    const Findings& base = *std::find_if(findings_.begin(), findings_.end(), [](const Findings& one) { return one.refused.empty(); });
    for (const auto& one : group) {
      const Findings& row = one->findings();
      if (&row == &base && row.runs.back().rounds >= static_cast<int64_t>(least_rounds)) continue;
      const Ratio ratio = speed_ratio(row, base);
      if (!ratio.interval || std::log(ratio.interval->high / ratio.interval->low) > narrow + 2 * std::log1p(placement_share)) return false;
    }
    return true;
  }

  const CompareSettings& settings_;
  const std::filesystem::path& folder_;
  CompareWatcher& watcher_;
  Sampler& sampler_;
  std::vector<Findings>& findings_;
  int64_t round_ = 0;
};

Idle idle_power(Sampler& sampler) {
  Idle idle;
  idle.reason = sampler.meter().missing();
  if (!sampler.meter().measures_anything()) return idle;
  const double begin = sampler.look().seconds;
  std::this_thread::sleep_for(std::chrono::duration<double>(idle_seconds));
  const std::vector<Window> window = {{begin, sampler.look().seconds}};
  const auto watts = [&](std::optional<double> Joules::*domain) { return power_in(sampler.readings(domain), window, 0).watts; };
  idle.seconds = window[0].end - begin;
  idle.cpu_watts = watts(&Joules::cpu);
  idle.dram_watts = watts(&Joules::dram);
  idle.gpu_watts = watts(&Joules::gpu);
  return idle;
}

}  // namespace

std::string run_name(const std::string& row, int64_t seed, size_t seeds) { return seeds > 1 ? fmt::format("{}-seed{}", row, seed) : row; }

Comparison compare(const CompareSettings& settings, const std::filesystem::path& folder, CompareWatcher& watcher) {
  const Lineup lineup = lineup_of(settings);
  const Nvml nvml;
  Sampler sampler(nvml);
  Comparison comparison;
  comparison.title = settings.title;
  comparison.command = settings.command;
  comparison.notes = settings.notes;
  comparison.notes.insert(comparison.notes.end(), lineup.notes.begin(), lineup.notes.end());
  comparison.idle = idle_power(sampler);
  std::vector<Findings> findings;
  for (const Entry& entry : lineup.entries) findings.emplace_back().entry = entry;
  try {
    Rounds(settings, folder, watcher, sampler, findings).run_all();
  } catch (const Error& error) {
    if (error.code() != ExitCode::requeue) throw;
    comparison.interrupted = true;
    comparison.notes.push_back("stopped before its end, as asked: the figures are of what was done by then");
  }
  summarise(comparison, settings, findings, sampler);
  for (const Row& row : lineup.absent) comparison.rows.push_back(row);
  comparison.environment = environment_of(nvml, findings);
  return comparison;
}

}  // namespace fovea::study
