// fovea eval: a saved network on a data set.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "fovea/cli/commands.h"
#include "fovea/train/apply.h"

namespace fovea::cli {
namespace {

constexpr const char* description = R"(Tests a trained network, from its best.safetensors alone.

Examples:
  fovea eval runs/lenet5-1 --data mnist:DIR                     the test images
  fovea eval runs/lenet5-1/best.safetensors --data mnist:DIR --split train --backend reference
)";

struct Arguments {
  std::string model, data, split = "test", backend;
  int64_t batch = 256;
  int threads = 0;
  bool json = false;
};

void eval(const Arguments& arguments) {
  const train::SavedModel model = train::load_model(arguments.model);
  const model::Network& network = model.network;
  data::Dataset dataset = data::load(arguments.data);
  if (!model.positive.empty()) dataset = data::binary(std::move(dataset), model.positive);
  const data::Images& images = arguments.split == "test" ? dataset.test : dataset.train;
  model::check_fits(network, {dataset.spec, images.h, images.w, images.c, static_cast<int64_t>(dataset.classes.size())});

  const train::Tested tested = train::test(model, images, {arguments.backend, arguments.threads, arguments.batch});
  const train::Scores& scores = tested.scores;
  const double rate = static_cast<double>(images.count) / tested.seconds;

  if (arguments.json) {
    const nlohmann::ordered_json line = {{"model", network.name},       {"data", dataset.title},
                                         {"split", arguments.split},    {"backend", tested.backend},
                                         {"images", scores.counted},    {"loss", scores.loss},
                                         {"accuracy", scores.accuracy}, {"weights_sha256", train::weights_sha256(model.weights)},
                                         {"images_per_second", rate}};
    fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    fmt::print("{} on {} {} images of {}, backend {}: accuracy {:.2f} %, loss {:.4f}, {:.0f} images/s\n", network.name, scores.counted,
               arguments.split, dataset.title, tested.backend, 100 * scores.accuracy, scores.loss, rate);
  }
}

}  // namespace

void add_eval(CLI::App& program) {
  CLI::App* command = program.add_subcommand("eval", description);
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("model", arguments->model, "the folder of a run, or its best.safetensors")->type_name("OUT")->required();
  command->add_option("--data", arguments->data, "data set, as in `fovea train`")->type_name("SPEC")->required();
  command->add_option("--split", arguments->split, "test or train")->check(CLI::IsMember({"test", "train"}))->capture_default_str();
  command->add_option("--backend", arguments->backend, "implementation to run on (default: the fastest this machine has)")
      ->type_name("NAME");
  command->add_option("--batch", arguments->batch, "images per step")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->capture_default_str();
  command->add_option("--threads", arguments->threads, "threads of a parallel backend; 0 takes one for each core")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "print a JSON object");
  command->callback([arguments] { eval(*arguments); });
}

}  // namespace fovea::cli
