#include "fovea/plan/dump.h"

#include <fmt/format.h>

namespace fovea::plan {

std::string dump(const Plan& plan) {
  constexpr std::string_view row = "{:>4}  {:<12} {:<32} {:<10} {:<32} {:<20} {:>12} {:>14}\n";
  std::string text = fmt::format(row, "step", "layer", "operator", "backend", "algorithm", "output", "bytes", "FLOPs");
  for (size_t i = 0; i < plan.steps().size(); ++i) {
    const Step& step = plan.steps()[i];
    const std::string layer = step.micro_batch > 0 ? fmt::format("{}@{}", step.name, step.micro_batch) : step.name;
    text += fmt::format(row, i, layer, step.what, step.kernel->provider(), step.kernel->algorithm(),
                        plan.graph().value(step.out[0]).shape.text(), plan.bytes_of(step), 2 * step.macs);
  }
  text += fmt::format("\n{} steps, {:.3f} GFLOP\n", plan.steps().size(), 2e-9 * static_cast<double>(plan.macs()));
  for (size_t i = 0; i < arena_count; ++i)
    text += fmt::format("{:<12} {:>14} bytes\n", name_of(static_cast<Arena>(i)), plan.arena_bytes()[i]);
  return text + fmt::format("{:<12} {:>14} bytes\n", "total", total(plan.arena_bytes()));
}

}  // namespace fovea::plan
