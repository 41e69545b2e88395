// The program: finds the command, prints one message per error, and returns a documented exit code.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <new>

#include "fovea/base/build_info.h"
#include "fovea/base/error.h"
#include "fovea/cli/commands.h"
#include "fovea/model/nearest.h"

namespace {

constexpr const char* footer = R"(Examples:
  fovea train recipes/lenet5_digits.toml            train on digits that fovea draws itself
  fovea train --data mnist:DIR --model lenet5       train on the files of MNIST in DIR
  fovea compare lenet5_digits --steps 200           every backend of this machine on the same training
  fovea eval runs/lenet5-1 --data mnist:DIR         test a trained network
  fovea doctor                                      what this machine has

Exit codes: 0 ok, 1 internal, 2 usage, 3 model or recipe, 4 data, 5 backend or device absent, 6 memory, 7 NaN or infinity,
8 target not reached, 75 checkpointed and to be requeued.)";

int report(const fovea::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return static_cast<int>(error.code());
}

fovea::Error unknown_command(const CLI::App& program, const std::string& word) {
  std::vector<std::string> known;
  for (const CLI::App* command : program.get_subcommands({})) known.push_back(command->get_name());
  fovea::Error error(fovea::ErrorId::command_line, fmt::format("there is no command `{}`", word));
  error.help(fovea::model::suggestion(word, "commands", known));
  return error;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace fovea;
  CLI::App program("fovea trains CNN image classifiers on every device and shows which is faster and why.", "fovea");
  const BuildInfo build = build_info();
  program.set_version_flag("--version", fmt::format("fovea {} ({}, {}, {})", build.version, build.commit, build.compiler, build.type));
  program.require_subcommand(1);
  program.footer(footer);
  cli::add_train(program);
  cli::add_compare(program);
  cli::add_eval(program);
  cli::add_models(program);
  cli::add_plan(program);
  cli::add_diff(program);
  cli::add_doctor(program);
  cli::add_machine(program);
  cli::add_bench(program);
  cli::add_table(program);
  cli::add_plot(program);
  cli::add_report(program);
  cli::add_explain(program);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return program.exit(error);  // --help, --version
    if (argc > 1 && argv[1][0] != '-' && program.get_subcommands().empty()) return report(unknown_command(program, argv[1]));
    return report(Error(ErrorId::command_line, error.what()));
  } catch (const Error& error) {
    return report(error);
  } catch (const std::bad_alloc&) {
    return report(Error(ErrorId::memory, "out of memory"));
  } catch (const std::exception& error) {
    return report(Error(ErrorId::internal, error.what()));
  }
  return static_cast<int>(ExitCode::ok);
}
