// fovea machine: what the processor and the GPU can do at most.
#include "fovea/study/machine.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "fovea/backend/registry.h"
#include "fovea/base/thread.h"
#include "fovea/cli/commands.h"
#include "fovea/report/columns.h"

namespace fovea::cli {
namespace {

constexpr const char* description =
    R"(Measures what this machine can do at most: multiply-adds in each precision, and bytes from its caches and its memory.

Examples:
  fovea machine                   the processor, from one thread to one for each core, and the GPU where there is one
  fovea machine --threads 3       that many threads

`fovea bench op` and `fovea compare` report shares of these roofs. Each is the best of several timings of some milliseconds; other programs
that run at the same time lower it. A multiply-add counts as two operations. In tf32, bf16 and fp16 it is what tensor cores, AMX or AVX512-BF16
do with factors of one, summed in fp32; longer work on a GPU at its limit of power does not get there. A precision without a column is not
measured here: its shares are those of fp32. `read` sums up an array, `triad` makes y = a + 2 b of two.
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

constexpr graph::Precision narrower[] = {graph::tf32, graph::bf16, graph::fp16};

std::string mib(int64_t bytes) { return report::grouped(static_cast<double>(bytes) / (1 << 20), 0); }

struct Roofs {
  int threads;
  double flops, read_cached, read, triad;                // per second
  std::map<std::string_view, double> flops_of_products;  // by precision, of those that have instructions of their own
};

std::vector<Roofs> roofs_of(study::Machine& machine, const std::vector<int>& counts) {
  const int64_t cached = machine.last_level_cache() / 4, beyond = machine.beyond_caches();
  std::vector<Roofs> roofs;
  for (const int count : counts) {
    roofs.push_back({count,
                     machine.flops(count),
                     machine.bandwidth(Load::Kind::read, count, cached),
                     machine.bandwidth(Load::Kind::read, count, beyond),
                     machine.bandwidth(Load::Kind::triad, count, beyond),
                     {}});
    for (const graph::Precision& precision : narrower)
      if (machine.has_products(precision)) roofs.back().flops_of_products[graph::name_of(precision)] = machine.flops(count, precision);
  }
  return roofs;
}

void print_table(study::Machine& machine, const std::vector<int>& counts) {
  const int64_t cached = machine.last_level_cache() / 4, beyond = machine.beyond_caches();
  const std::vector<Roofs> roofs = roofs_of(machine, counts);
  std::vector<std::string> titles = {"threads", "fp32 GFLOP/s", "of the first"};
  for (const auto& [precision, flops] : roofs.front().flops_of_products) titles.push_back(fmt::format("{} GFLOP/s", precision));
  for (const auto& [what, bytes] : {std::pair("read", cached), std::pair("read", beyond), std::pair("triad", beyond)})
    titles.push_back(fmt::format("{} {} MiB, GB/s", what, mib(bytes)));
  std::vector<report::Column> columns;
  for (const std::string& title : titles) columns.push_back({title, report::Align::right, {}});
  for (const Roofs& roof : roofs) {
    const auto giga = [](double rate) { return report::grouped(1e-9 * rate, 1); };
    std::vector<std::string> cells = {std::to_string(roof.threads), giga(roof.flops),
                                      fmt::format("{:.2f}", roof.flops / roofs.front().flops)};
    for (const auto& [precision, flops] : roof.flops_of_products) cells.push_back(giga(flops));
    for (const double rate : {roof.read_cached, roof.read, roof.triad}) cells.push_back(giga(rate));
    for (size_t i = 0; i < cells.size(); ++i) columns[i].cells.push_back(cells[i]);
  }
  fmt::print("{}\n{}\n", machine.device(), report::columns_text(columns, report::Style::terminal));
}

void print_json(study::Machine& machine, const std::vector<int>& counts) {
  for (const Roofs& roof : roofs_of(machine, counts)) {
    nlohmann::json line = {{"device", machine.device()},
                           {"threads", roof.threads},
                           {"flops_per_second", roof.flops},
                           {"cached_bytes", machine.last_level_cache() / 4},
                           {"cached_read_bytes_per_second", roof.read_cached},
                           {"memory_bytes", machine.beyond_caches()},
                           {"memory_read_bytes_per_second", roof.read},
                           {"memory_triad_bytes_per_second", roof.triad}};
    for (const auto& [precision, flops] : roof.flops_of_products) line[fmt::format("{}_flops_per_second", precision)] = flops;
    fmt::print("{}\n", line.dump());
  }
}

enum class Style : uint8_t { table, json };

void print_all(int threads, Style style) {
  std::set<std::string> done;
  for (const BackendEntry& entry : list_backends()) {
    if (!entry.absent_because.empty()) continue;
    const std::unique_ptr<Backend> backend = open_backend(entry.name);
    if (dynamic_cast<LoadMaker*>(backend.get()) == nullptr || !done.insert(backend->device().name()).second) continue;
    study::Machine machine(*backend);
    const std::vector<int> counts = counts_of(backend->device(), threads);
    if (style == Style::json)
      print_json(machine, counts);
    else
      print_table(machine, counts);
  }
}

}  // namespace

void add_machine(CLI::App& program) {
  struct Arguments {
    int threads = 0;
    bool json = false;
  };
  CLI::App* command = program.add_subcommand("machine", description);
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("--threads", arguments->threads, "of the processor (default: 1, 2, 4, ... cores)")
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  command->add_flag("--json", arguments->json, "print a JSON object for each device and number of threads");
  command->callback([arguments] { print_all(arguments->threads, arguments->json ? Style::json : Style::table); });
}

}  // namespace fovea::cli
