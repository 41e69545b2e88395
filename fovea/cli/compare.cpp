// fovea compare: the same training on every backend, side by side.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/base/stop_signal.h"
#include "fovea/cli/commands.h"
#include "fovea/cli/compare_folder.h"
#include "fovea/cli/progress.h"
#include "fovea/cli/recipe_flags.h"
#include "fovea/study/compare.h"

namespace fovea::cli {
namespace {

constexpr const char* description =
    R"(Trains the same network on the same pixels on every backend of this machine, in turns, and says which is faster, by how much, and how
sure that is.

Examples:
  fovea compare lenet5_digits                                          as a recipe says, on all backends
  fovea compare --data cifar10:DIR --model cifar_cnn --batch 32 --steps 100      speed alone
  fovea compare lenet5_digits --backends eigen,openmp --threads 1,2,4 --batch 32,64,1024
  fovea compare --data mnist:DIR --model lenet5 --epochs 12 --target-accuracy 0.99 --seeds 3
  fovea compare 4_lenet5                                               a table of a report, with its sweeps

Every row starts with the same weights and sees the same batches in the same order. The rows take turns, in rounds, so that a
change of the machine's speed meets all. Speed-ups come with a 95 % interval; where it holds 1 there is no significant difference.
)";

struct Arguments {
  study::CompareFlags flags;
  std::string out, log;
  bool overwrite = false, quiet = false;
};

class Progress final : public study::CompareWatcher {
 public:
  explicit Progress(Output output) : quiet_(output == Output::quiet), on_terminal_(isatty(STDERR_FILENO) != 0) {}
  void on_stage(const std::string& text) override {
    if (!quiet_) fmt::print(stderr, "{}\n", text);
  }
  void on_round(int64_t done, int64_t expected) override {
    if (quiet_ || !on_terminal_) return;
    fmt::print(stderr, "\rround {}/{}\x1b[K{}", done, std::max(done, expected), done == expected ? "\n" : "");
  }
  void on_warning(const std::string& text) override {
    if (!quiet_) fmt::print(stderr, "warning: {}\n", text);
  }
  bool stop_requested() override { return stop_signal() != 0; }

 private:
  bool quiet_, on_terminal_;
};

void end(const study::Comparison& comparison, const std::filesystem::path& folder) {
  if (comparison.interrupted)
    throw Error(ExitCode::requeue, fmt::format("stopped, as asked: what was done is in {}", folder.string()))
        .help("the same command with --overwrite starts again");
  const auto ran = [](const study::Row& row) { return row.status == study::RowStatus::ran; };
  const auto refused = [](const study::Row& row) { return row.status == study::RowStatus::refused; };
  if (std::none_of(comparison.rows.begin(), comparison.rows.end(), ran)) {
    const study::Row& first = *std::find_if(comparison.rows.begin(), comparison.rows.end(), refused);
    throw Error(first.refused_with, fmt::format("no row could run; {}: {}", first.id, first.reason));
  }
  std::string missed;
  for (const study::Row& row : comparison.rows)
    if (comparison.question.target_accuracy && row.status == study::RowStatus::ran && !row.seconds_to_target.reason.empty())
      missed += fmt::format("{}{}: {}", missed.empty() ? "" : "; ", row.id, row.seconds_to_target.reason);
  if (!missed.empty()) throw Error(ErrorId::target, missed).help("allow more epochs, or set a lower --target-accuracy");
}

void compare(Arguments arguments, std::vector<std::string> command) {
  take_stop_signals();
  study::CompareSettings settings = study::read_comparison(arguments.flags);
  settings.command = std::move(command);
  const CompareFolder made(arguments.out, arguments.overwrite ? Earlier::replaced : Earlier::refused);
  const std::filesystem::path& folder = made.path();
  const report::RunLogs logs = arguments.log.empty() ? report::RunLogs::none : report::RunLogs::mlperf;
  Progress progress(arguments.quiet ? Output::quiet : Output::people);
  const study::Comparison comparison = study::compare(settings, folder, progress);
  replace_file(folder / "result.json", json_of(comparison));
  report::write_report(folder, logs);
  if (!comparison.interrupted) made.remove_leftovers(settings, logs);
  if (!arguments.quiet) {
    fmt::print("{}\nthe report is {}\n", report::comparison_table(report::read_comparison(folder), report::Style::markdown),
               (folder / "report.html").string());
  }
  end(comparison, folder);
}

std::vector<std::string> command_line() {
  std::vector<std::string> words;
  const std::string text = read_file("/proc/self/cmdline");
  for (size_t begin = 0; begin < text.size(); begin = text.find('\0', begin) + 1) words.emplace_back(text.c_str() + begin);
  if (!words.empty()) words[0] = std::filesystem::path(words[0]).filename().string();
  return words;
}

}  // namespace

void add_compare(CLI::App& program) {
  CLI::App* command = program.add_subcommand("compare", description);
  const auto arguments = std::make_shared<Arguments>();
  study::CompareFlags& flags = arguments->flags;
  constexpr int64_t many = int64_t{1} << 31;
  command->add_option("recipe", flags.file, "a recipe file, or a name in recipes/; its [compare] table may name what follows")
      ->type_name("RECIPE");
  command->add_option("--backends,--backend", flags.backends, "separated by commas (default: all but reference)")
      ->type_name("NAME,...")
      ->delimiter(',');
  command->add_option("--threads", flags.threads, "of parallel backends: a row for each (default: one for each core)")
      ->type_name("N,...")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{0}, int64_t{4096}));
  command->add_option("--batch", flags.batches, "images per update: a row for each")
      ->type_name("N,...")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, many));
  command->add_option("--precision", flags.precisions, "fp32, tf32, bf16, fp16: a row for each")->type_name("NAME,...")->delimiter(',');
  command->add_option("--seeds", flags.seeds, "trainings of each row, from --seed on (default: 1)")
      ->type_name("K")
      ->check(CLI::Range(1, 1000));
  command
      ->add_option("--steps", flags.steps, "speed alone: at least so many steps of each row, and more while it is not sure which is faster")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, many));
  command->add_option("--target-accuracy", flags.target_accuracy, "end each training when its validation reaches this share, and say when")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--extra-seconds", flags.extra_seconds, "at most, for more rounds where it is not sure which is faster (default: 30)")
      ->type_name("S")
      ->check(CLI::Range(0.0, 1e6));
  command->add_option("--out", arguments->out, "folder for the results (default: runs/compare-<n>)")->type_name("DIR");
  command->add_option("--log", arguments->log, "also a log of every run: mlperf")->type_name("KIND")->check(CLI::IsMember({"mlperf"}));
  command->add_flag("--overwrite", arguments->overwrite,
                    "replace the comparison that the folder --out holds, with its runs and logs: also those of rows that stay");
  command->add_flag("--quiet", arguments->quiet, "print nothing but errors");
  add_recipe_flags(*command, flags.recipe, {"backend", "threads", "batch", "precision", "out"});
  command->callback([arguments] { compare(*arguments, command_line()); });
}

}  // namespace fovea::cli
