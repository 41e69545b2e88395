// fovea bench: how fast the parts are, beside what the machine can do at most.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <CLI/CLI.hpp>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/base/thread.h"
#include "fovea/cli/commands.h"
#include "fovea/cli/op_table.h"
#include "fovea/study/machine.h"
#include "fovea/study/network_cases.h"
#include "fovea/study/problem.h"
#include "fovea/train/trainer.h"

namespace fovea::cli {
namespace {

constexpr const char* description = R"(Measures how fast parts of fovea are on this machine.

Examples:
  fovea bench op --backend openmp --case 'resnet18*conv2d*'
)";
constexpr const char* op_description =
    R"(Measures operators one by one: median and spread of their time, FLOP/s, bytes/s, and the share of what the device can do at most.

Examples:
  fovea bench op                                                       the layers of four networks on the fastest backend
  fovea bench op --backend eigen,openmp --case 'lenet5*conv1*'         two backends on one layer, forward and backward
  fovea bench op --threads 1,2,4 --case 'resnet18*' --json FILE.jsonl  with a record of each
  fovea bench op --case 'mb32ic64ih56oc64kh3ph1n"mine"'                a problem as oneDNN's benchdnn writes it
  fovea bench op --case '--dir=BWD_W g1mb32ic64ih56iw56oc64oh56ow56kh3kw3sh1sw1ph1pw1dh0dw0'

A problem is a convolution, a pool (--alg=max, avg_np or avg_p), a batch norm (no kh), a linear layer (--ip) or a matrix product (MxK:KxN);
without --dir= it is measured in every direction. An operator counts 2 FLOP for each multiply-add, padding included, and as bytes its inputs
and outputs once. Its roof is the smaller of what the multiply-adds and what the memory allow, both measured by the same threads: the
memory over as many bytes as the operator works on. Fused steps of a plan are not measured here: `fovea plan` shows them.
)";
const std::vector<std::string> usual_networks = {"lenet5", "cifar_cnn", "resnet18", "mobilenet_v1"};

struct Arguments {
  std::vector<std::string> cases, backends, models, threads;
  std::string direction, json, precision = "fp32";
  int64_t batch = 0;
  std::string autotune = "engines";
  double seconds = 0.2;
  bool cold = false, no_dependent_launch = false;
};

std::vector<study::NetworkCase> cases_of(const std::vector<std::string>& networks, int64_t batch) {
  std::vector<study::NetworkCase> cases;
  for (const std::string& name : networks) {
    const model::Network network = model::load_network(name);
    for (study::NetworkCase& one : study::network_cases(network, batch > 0 ? batch : study::usual_batch(network.name)))
      cases.push_back(std::move(one));
  }
  return cases;
}

void add_problem(std::vector<study::NetworkCase>& chosen, const Arguments& arguments, std::string text) {
  if (!arguments.direction.empty() && text.find("--dir=") == std::string::npos)
    text = fmt::format("--dir={} {}", arguments.direction, text);
  if (arguments.batch > 0) text = fmt::format("--mb={} {}", arguments.batch, text);
  for (study::OpCase& one : study::parse_problem(text)) chosen.push_back({std::move(one)});
}

std::vector<study::NetworkCase> choose(const Arguments& arguments) {
  const bool any_network = arguments.models.empty();
  if (arguments.cases.empty()) return cases_of(any_network ? usual_networks : arguments.models, arguments.batch);
  std::vector<study::NetworkCase> chosen, known;
  for (const std::string& pattern : arguments.cases) {
    if (study::looks_like_problem(pattern)) {
      add_problem(chosen, arguments, pattern);
      continue;
    }
    if (known.empty()) {
      known = cases_of(any_network ? model::list_networks() : arguments.models, arguments.batch);
      for (study::OpCase& one : study::op_cases())
        if (!std::holds_alternative<Flatten>(one.op)) known.push_back({std::move(one)});
    }
    const size_t before = chosen.size();
    for (const study::NetworkCase& one : known)
      if (fnmatch(pattern.c_str(), one.op_case.name.c_str(), 0) == 0) chosen.push_back(one);
    if (chosen.size() == before)
      throw Error(ExitCode::usage, fmt::format("no case has a name like `{}`", pattern))
          .note(fmt::format(
              "there are layers of networks (`{}`), those of the table of the tests (`{}`) and problems as benchdnn writes them",
              known.front().op_case.name, known.back().op_case.name))
          .help("* stands for any letters: --case '*conv1*'");
  }
  return chosen;
}

// Another precision than the usual one stands behind the names.
std::vector<study::NetworkCase> in_precision(std::vector<study::NetworkCase> cases, const std::string& name) {
  const std::optional<graph::Precision> precision = graph::precision_named(name);
  for (study::NetworkCase& one : cases) {
    one.op_case = study::in_precision(std::move(one.op_case), precision.value_or(graph::fp32));
    if (precision != graph::fp32) one.op_case.name += " " + name;
  }
  return cases;
}

std::vector<int> thread_counts(const std::vector<std::string>& words) {
  std::vector<int> counts;
  for (const std::string& word : words) {
    size_t end = 0;
    const bool is_number = !word.empty() && word.find_first_not_of("0123456789") == std::string::npos && word.size() < 5;
    const int count = is_number ? std::stoi(word, &end) : 0;
    if (count < 1) throw Error(ExitCode::usage, fmt::format("--threads is `{}`, but must be numbers from 1 to 9999", word));
    counts.push_back(count);
  }
  if (counts.empty()) counts.push_back(usable_cores());
  return counts;
}

void measure(const Arguments& arguments) {
  const std::vector<int> threads = thread_counts(arguments.threads);
  const std::vector<study::NetworkCase> cases = in_precision(choose(arguments), arguments.precision);
  const std::vector<std::string> names = arguments.backends.empty() ? std::vector{train::default_backend()} : arguments.backends;
  for (const std::string& name : names) require_precision(name, arguments.precision);
  std::vector<std::unique_ptr<Backend>> backends;
  for (const std::string& name : names) backends.push_back(open_backend(name));
  OpTable table(cases, arguments.json);
  Tuning engines;
  Tuning* const tuning = arguments.autotune == "off" ? nullptr : &engines;
  for (const study::NetworkCase& one : cases)
    for (const std::unique_ptr<Backend>& backend : backends) {
      std::vector<int> taken;  // by kernels that were measured
      for (const int count : threads) {
        const int takes = make(*backend, one.op_case.op, {count, tuning})->threads();
        if (std::find(taken.begin(), taken.end(), takes) != taken.end()) continue;
        taken.push_back(takes);
        study::Machine& machine = table.machine_of(*backend);
        table.add(
            one, *backend,
            study::measure(*backend, one.op_case,
                           {count, arguments.seconds, arguments.cold ? study::Caches::cold : study::Caches::hot, machine.last_level_cache(),
                            tuning, arguments.no_dependent_launch ? DependentLaunches::off : DependentLaunches::on}));
      }
    }
  table.finish();
}

void add_op(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand("op", op_description);
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("--case", arguments->cases, "name or problem; * stands for any letters; may be given several times")
      ->type_name("CASE")
      ->take_all();
  command->add_option("--backend", arguments->backends, "one or several, separated by commas (default: the fastest)")
      ->type_name("NAME")
      ->delimiter(',');
  command->add_option("--threads", arguments->threads, "one or several numbers, separated by commas (default: one for each core)")
      ->type_name("N")
      ->delimiter(',');
  command->add_option("--model", arguments->models, "networks whose layers are cases (default: the shipped ones)")
      ->type_name("MODEL")
      ->delimiter(',');
  command
      ->add_option("--precision", arguments->precision,
                   "fp32, tf32, bf16 or fp16; all but fp32 need a GPU, or the backend onednn (bf16) or reference")
      ->check(CLI::IsMember({"fp32", "tf32", "bf16", "fp16"}))
      ->capture_default_str();
  command->add_option("--batch", arguments->batch, "of layers and problems (default: the usual one of each)")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--dir", arguments->direction,
                      "of problems: FWD_D, FWD_I, BWD_D, BWD_W or BWD_DW, separated by commas (default: all)");
  command->add_option("--seconds", arguments->seconds, "of timing for each case")->check(CLI::Range(1e-3, 3600.0))->capture_default_str();
  command
      ->add_option("--autotune", arguments->autotune, "engines: a library's engines are measured first, and the fastest is taken; or off")
      ->check(CLI::IsMember({"off", "engines"}))
      ->capture_default_str();
  command->add_flag("--no-dependent-launch", arguments->no_dependent_launch,
                    "no kernel starts before the one in front of it has ended, where the device could do that");
  command->add_flag("--cold", arguments->cold,
                    "work on copies in turns that together take twice the last-level cache, not on the same memory again and again");
  command->add_option("--json", arguments->json, "append a record of each to this file, as docs/results.md describes them")
      ->type_name("FILE");
  command->callback([arguments] { measure(*arguments); });
}

}  // namespace

void add_bench(CLI::App& program) {
  CLI::App* command = program.add_subcommand("bench", description);
  command->require_subcommand(1);
  add_op(*command);
}

}  // namespace fovea::cli
