// The commands of the program, one file each: every function adds its command and what to do when it is asked for.
#pragma once

namespace CLI {
class App;
}

namespace fovea::cli {

void add_train(CLI::App& program);
void add_compare(CLI::App& program);
void add_eval(CLI::App& program);
void add_models(CLI::App& program);
void add_plan(CLI::App& program);
void add_diff(CLI::App& program);
void add_doctor(CLI::App& program);
void add_machine(CLI::App& program);
void add_bench(CLI::App& program);
void add_table(CLI::App& program);
void add_plot(CLI::App& program);
void add_report(CLI::App& program);
void add_explain(CLI::App& program);  // and --explain

}  // namespace fovea::cli
