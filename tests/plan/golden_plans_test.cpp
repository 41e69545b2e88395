// The outlines of the plans of all shipped networks, as committed in golden/plans/; the README there says how they are written anew.
#include <gtest/gtest.h>

#include <filesystem>

#include "fovea/backend/registry.h"
#include "fovea/base/file.h"
#include "fovea/plan/dump.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

const std::filesystem::path folder = "tests/golden/plans";

struct Outlines {
  std::string training, evaluation;
};

Outlines outlines_of(const std::string& model, const std::string& backend_name) {
  const std::unique_ptr<Backend> backend = open_backend(backend_name);
  const test::Job job = test::job_of(model::load_network(model), 3);
  const std::vector<std::string> order = test::order_of(job);
  const auto outline_of = [&](graph::Graph graph) { return outline(compile(std::move(graph), {.backend = backend.get()}, order)); };
  return {outline_of(test::training_graph(job)), outline_of(test::evaluation_graph(job))};
}

TEST(GoldenPlans, AreThoseOfEveryShippedNetwork) {
  for (const std::string& name : model::list_networks()) {
    const Outlines outlines = outlines_of(name, "eigen");
    EXPECT_EQ(outlines.training, read_file(folder / (name + ".training.txt"))) << name;
    EXPECT_EQ(outlines.evaluation, read_file(folder / (name + ".evaluation.txt"))) << name;
  }
}

TEST(GoldenPlans, AreOfNoOtherNetworks) {
  const std::filesystem::directory_iterator files(folder);
  EXPECT_EQ(static_cast<size_t>(std::distance(begin(files), end(files))), 2 * model::list_networks().size());
}

TEST(Outline, HasALineForEachLayer) {
  EXPECT_EQ(outlines_of("softmax", "reference").training,
            "data: augment\nlinear1: linear_forward, bias_forward\nloss: softmax_cross_entropy_forward\nscore: score\n"
            "loss: softmax_cross_entropy_backward\nlinear1: bias_backward, linear_backward_filter\nupdate: update\n");
}

}  // namespace
}  // namespace fovea::plan
