#include "fovea/cli/op_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "fovea/report/measurement.h"
#include "fovea/study/problem.h"
#include "fovea/study/statistics.h"

namespace fovea::cli {
namespace {

constexpr const char* row = "{:<{}}  {:<16}  {:<26}  {:>7}  {:>10}  {:>10}  {:>10}  {:>9}  {:>8}  {:>6}  {}\n";

std::string decimals(double value) { return fmt::format("{:.{}f}", value, value < 100 ? 2 : value < 1000 ? 1 : 0); }

std::string_view name_of(study::Binding binding) { return binding == study::Binding::arithmetic ? "arithmetic" : "memory"; }

// As a network has the operator.
std::optional<graph::Precision> precision_of(const Op& op) {
  for (const graph::Precision& precision : {graph::fp32, graph::tf32, graph::bf16, graph::fp16})
    if (graph::types_of(op) == graph::types_of(graph::in_precision(op, precision))) return precision;
  return std::nullopt;
}

// In which its products are held against the roof.
graph::Precision factors_of(const Op& op) { return precision_of(op).value_or(graph::fp32); }

study::Work work_of(const study::OpSpeed& speed) { return {speed.flops, speed.bytes, speed.working_set}; }

}  // namespace

OpTable::OpTable(std::span<const study::NetworkCase> cases, std::string json) : json_(std::move(json)), name_width_(4) {
  for (const study::NetworkCase& one : cases) name_width_ = std::max(name_width_, static_cast<int>(one.op_case.name.size()));
  fmt::print(row, "case", name_width_, "backend", "algorithm", "threads", "median us", "least", "p90", "GFLOP/s", "GB/s", "roof %",
             "bound by");
}

study::Machine& OpTable::machine_of(Backend& backend) { return machines_.try_emplace(backend.device().name(), backend).first->second; }

void OpTable::add(const study::NetworkCase& one, Backend& backend, const study::OpSpeed& speed) {
  print_row(one, backend, speed);
  roofs_.emplace(backend.device().name(), speed.threads,
                 graph::name_of(machine_of(backend).roof_of(speed.threads, factors_of(one.op_case.op))));
  if (!json_.empty()) record(one, backend, speed);
}

void OpTable::print_row(const study::NetworkCase& one, Backend& backend, const study::OpSpeed& speed) {
  const study::Spread spread = study::spread_of(speed.seconds);
  const study::Bound bound = machine_of(backend).bound(work_of(speed), speed.threads, factors_of(one.op_case.op));
  const std::string who = speed.provider == backend.name() ? speed.provider : fmt::format("{} ({})", backend.name(), speed.provider);
  fmt::print(row, one.op_case.name, name_width_, who, speed.algorithm, speed.threads, decimals(1e6 * spread.median),
             decimals(1e6 * spread.least), decimals(1e6 * spread.p90), speed.flops > 0 ? decimals(1e-9 * speed.flops / spread.median) : "-",
             decimals(1e-9 * speed.bytes / spread.median), fmt::format("{:.1f}", 100 * bound.seconds / spread.median),
             name_of(bound.binding));
  std::fflush(stdout);
}

void OpTable::record(const study::NetworkCase& one, Backend& backend, const study::OpSpeed& speed) {
  study::Machine& machine = machine_of(backend);
  const study::Spread spread = study::spread_of(speed.seconds);
  const graph::Precision factors = factors_of(one.op_case.op);
  const study::Bound bound = machine.bound(work_of(speed), speed.threads, factors);
  report::NewMeasurement line;
  line.experiment = fmt::format("op/{}/{}-{}threads", one.op_case.name, backend.name(), speed.threads);
  line.unit = "us";
  line.label = fmt::format("fovea {}", backend.name());
  for (const double seconds : speed.seconds) line.values.push_back(1e6 * seconds);
  line.configuration = {{"case", one.op_case.name},
                        {"problem", study::problem_of(one.op_case.op)},
                        {"layers", one.layers},
                        {"precision", precision_of(one.op_case.op) ? std::string(graph::name_of(factors)) : "mixed"},
                        {"backend", std::string(backend.name())},
                        {"provider", speed.provider},
                        {"algorithm", speed.algorithm},
                        {"threads", int64_t{speed.threads}},
                        {"copies", speed.copies},
                        {"working_set_bytes", speed.working_set},
                        {"runs_per_value", speed.runs_per_value},
                        {"how", speed.how},
                        {"flops", speed.flops},
                        {"bytes", speed.bytes},
                        {"flops_per_second", speed.flops / spread.median},
                        {"bytes_per_second", speed.bytes / spread.median},
                        {"roof_precision", std::string(graph::name_of(machine.roof_of(speed.threads, factors)))},
                        {"roof_flops_per_second", machine.flops(speed.threads, factors)},
                        {"roof_bytes_per_second", machine.bandwidth(speed.threads, speed.working_set)},
                        {"roof_share", bound.seconds / spread.median},
                        {"bound_by", std::string(name_of(bound.binding))}};
  line.device = machine.device();
  report::append_line(json_, report::line_of(line));
}

void OpTable::finish() {
  for (const auto& [device, threads, precision] : roofs_) {
    study::Machine& machine = machines_.at(device);
    const graph::Precision roof = graph::precision_named(precision).value();
    fmt::print("\nroof of {}, {} thread{}: {} GFLOP/s of multiply-adds in {}, {} GB/s of memory beyond the caches\n", device, threads,
               threads == 1 ? "" : "s", decimals(1e-9 * machine.flops(threads, roof)), graph::name_of(roof),
               decimals(1e-9 * machine.bandwidth(threads, machine.beyond_caches())));
  }
}

}  // namespace fovea::cli
