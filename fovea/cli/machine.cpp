// fovea machine: what the processor and the GPU can do at most.
#include "fovea/study/machine.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "fovea/backend/registry.h"
#include "fovea/base/thread.h"
#include "fovea/cli/commands.h"
#include "fovea/report/columns.h"

namespace fovea::cli {
namespace {

constexpr const char* description =
    R"(Measures what this machine can do at most: multiply-adds in single precision, and bytes from its caches and its memory.

Examples:
  fovea machine                   the processor, from one thread to one for each core, and the GPU where there is one
  fovea machine --threads 3       that many threads

These are the roofs that `fovea bench op` holds operators against. Each is the best of several timings of some milliseconds; other programs
that run at the same time lower it. A multiply-add counts as two operations. `read` sums up an array, `triad` makes y = a + 2 b of two.
)";

std::vector<int> counts_of(const Device& device, int threads) {
  const std::unique_ptr<Device> host = make_host_device();
  if (device.name() != host->name()) return {1};
  if (threads > 0) return {threads};
  std::vector<int> counts;
  for (int count = 1; count < usable_cores(); count *= 2) counts.push_back(count);
  counts.push_back(usable_cores());
  return counts;
}

std::string mib(int64_t bytes) { return report::grouped(static_cast<double>(bytes) / (1 << 20), 0); }

void print_device(Backend& backend, int threads) {
  using report::Align;
  study::Machine machine(backend);
  const int64_t cached = machine.last_level_cache() / 4, beyond = machine.beyond_caches();
  std::vector<report::Column> columns = {{"threads", Align::right, {}},
                                         {"GFLOP/s", Align::right, {}},
                                         {"of the first", Align::right, {}},
                                         {fmt::format("read {} MiB, GB/s", mib(cached)), Align::right, {}},
                                         {fmt::format("read {} MiB, GB/s", mib(beyond)), Align::right, {}},
                                         {fmt::format("triad {} MiB, GB/s", mib(beyond)), Align::right, {}}};
  double first = 0;
  for (const int count : counts_of(backend.device(), threads)) {
    const double flops = machine.flops(count);
    if (first == 0) first = flops;
    const auto bandwidth = [&](Load::Kind kind, int64_t bytes) { return report::grouped(1e-9 * machine.bandwidth(kind, count, bytes), 1); };
    const std::vector<std::string> cells = {std::to_string(count),
                                            report::grouped(1e-9 * flops, 1),
                                            fmt::format("{:.2f}", flops / first),
                                            bandwidth(Load::Kind::read, cached),
                                            bandwidth(Load::Kind::read, beyond),
                                            bandwidth(Load::Kind::triad, beyond)};
    for (size_t i = 0; i < cells.size(); ++i) columns[i].cells.push_back(cells[i]);
  }
  fmt::print("{}\n{}\n", machine.device(), report::columns_text(columns, report::Style::terminal));
}

void print_all(int threads) {
  for (const BackendEntry& entry : list_backends()) {
    if (!entry.absent_because.empty()) continue;
    const std::unique_ptr<Backend> backend = open_backend(entry.name);
    if (dynamic_cast<LoadMaker*>(backend.get()) != nullptr) print_device(*backend, threads);
  }
}

}  // namespace

void add_machine(CLI::App& program) {
  CLI::App* command = program.add_subcommand("machine", description);
  const auto threads = std::make_shared<int>(0);
  command->add_option("--threads", *threads, "of the processor (default: 1, 2, 4, ... cores)")->type_name("N")->check(CLI::Range(1, 4096));
  command->callback([threads] { print_all(*threads); });
}

}  // namespace fovea::cli
