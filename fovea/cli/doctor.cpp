// fovea doctor: what this machine has, and whether every backend works on it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "fovea/backend/registry.h"
#include "fovea/base/build_info.h"
#include "fovea/base/error.h"
#include "fovea/base/thread.h"
#include "fovea/cli/commands.h"
#include "fovea/study/self_test.h"

namespace fovea::cli {
namespace {

constexpr const char* description = R"(Says what this machine has and runs a small convolution on every backend.

Examples:
  fovea doctor
  fovea doctor --backends     only the names of the backends to compare, one a line
)";
constexpr double tolerance = 1e-5;  // of single-precision sums of 72 products

void print_names() {
  for (const BackendEntry& entry : list_backends())
    if (entry.purpose == Purpose::speed && entry.absent_because.empty()) fmt::print("{}\n", entry.name);
}

void examine() {
  const BuildInfo build = build_info();
  fmt::print("fovea     {} ({}, {}, {})\n", build.version, build.commit, build.compiler, build.type);
  fmt::print("host      {}\n\n", make_host_device()->name());
  std::string failed;
  for (const BackendEntry& entry : list_backends()) {
    fmt::print("{:<9} {}\n", entry.name, entry.description);
    if (!entry.absent_because.empty()) {
      fmt::print("          absent: {}\n          help: {}\n", entry.absent_because, entry.remedy);
      continue;
    }
    const std::unique_ptr<Backend> backend = open_backend(entry.name);
    const study::SelfTest test = study::small_convolution(*backend, {usable_cores()});
    const bool works = test.largest_error <= tolerance;
    fmt::print("          {}: a small convolution takes {:.3f} ms ({}) and differs from the reference by {:.1e} at most\n",
               works ? "works" : "FAILS", 1e3 * test.seconds, test.algorithm, test.largest_error);
    if (!works) failed += (failed.empty() ? "" : ", ") + entry.name;
  }
  if (!failed.empty())
    throw Error(ErrorId::wrong_results, fmt::format("wrong results on: {}", failed)).help("please report this with the lines above");
}

}  // namespace

void add_doctor(CLI::App& program) {
  CLI::App* command = program.add_subcommand("doctor", description);
  const auto names_only = std::make_shared<bool>(false);
  command->add_flag("--backends", *names_only, "only the names of the backends that belong into a comparison");
  command->callback([names_only] {
    if (*names_only) {
      print_names();
    } else {
      examine();
    }
  });
}

}  // namespace fovea::cli
