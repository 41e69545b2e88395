// One message per error, on stderr, and the documented code.
#include <gtest/gtest.h>

#include "tests/cli/program.h"

namespace fovea::cli {
namespace {

struct Failure {
  std::string arguments;
  int code;
  std::string says;
};

void PrintTo(const Failure& failure, std::ostream* out) { *out << "fovea " << failure.arguments; }

class ExitCodes : public testing::TestWithParam<Failure> {};

TEST_P(ExitCodes, ComeWithOneMessage) {
  const Program program;
  program.plant("broken_model.toml", "name = \"x\"\ninput = [8, 8, 1]\nlayers = [\n  { conv2d = 4, kernal = 3 },\n]\n");
  program.plant("broken_recipe.toml", "data = \"digits\"\nmodel = \"lenet5\"\nepoch = 3\n");
  program.plant("cut.safetensors", "12345678{");
  program.plant("result.json", "{}");
  const Ran ran = program.run(GetParam().arguments);
  EXPECT_EQ(ran.code, GetParam().code) << ran.error;
  EXPECT_TRUE(has(ran.error, GetParam().says)) << ran.error;
  EXPECT_TRUE(ran.error.starts_with("error[E0")) << ran.error;
  EXPECT_EQ(ran.error.find("error[", 1), std::string::npos) << ran.error;
  EXPECT_EQ(ran.out, "");
  EXPECT_FALSE(std::filesystem::exists(program.path("out/config.toml")));  // refused before anything is left behind
}

const std::string tiny = "train --quiet --out {}/out --model {}/tiny.toml ";

INSTANTIATE_TEST_SUITE_P(
    Program, ExitCodes,
    testing::Values(Failure{"", 2, "--help"}, Failure{"trian x", 2, "did you mean `train`?"}, Failure{"train --speed 5", 2, "--speed"},
                    Failure{"train --epochs", 2, "--epochs"}, Failure{tiny + "--data synthetic:8x8x1:4 --epochs many", 2, "--epochs"},
                    Failure{"eval {}", 2, "--data"}, Failure{"plan --phase testing --model lenet5", 2, "--phase"},
                    Failure{"train --resume {} --epochs 3", 2, "--resume"}, Failure{"train --resume {}/absent", 4, "no config.toml"},
                    Failure{tiny + "--data synthetic:8x8x1:4 --save-every often", 3, "\"10 min\""}, Failure{tiny, 3, "--data"},
                    Failure{tiny + "--data synthetic:8x8x1:4 --epochs 0", 3, "`epochs` is 0"},
                    Failure{"train --quiet --out {}/out --data digits --model {}/broken_model.toml", 3, "broken_model.toml:4"},
                    Failure{"models {}/broken_model.toml", 3, "meant to be `kernel`?"},
                    Failure{"train {}/broken_recipe.toml", 3, "broken_recipe.toml:3"}, Failure{"models lenet6", 3, "lenet5"},
                    Failure{tiny + "--data synthetic:9x9x1:4", 3, "9 x 9 x 1"}, Failure{tiny + "--data mnist:{}/absent", 4, "absent"},
                    Failure{tiny + "--data nonsense", 4, "nonsense"}, Failure{"train {}/absent.toml", 4, "absent.toml"},
                    Failure{"eval {}/absent --data digits", 4, "absent"},
                    Failure{"eval {}/cut.safetensors --data digits", 4, "cut.safetensors"},
                    Failure{"table {}/absent.json", 4, "absent.json"}, Failure{"table {}/result.json", 4, "result.json"},
                    Failure{tiny + "--data synthetic:8x8x1:4 --backend tpu", 5, "tpu"},
                    Failure{"plan --model lenet5 --backend tpu", 5, "eigen"}, Failure{"diff lenet5 reference tpu", 5, "eigen"},
                    Failure{"diff lenet5 reference", 2, "b is required"}, Failure{"bench", 2, "subcommand"},
                    Failure{"bench op --case 'lenet6*'", 2, "lenet6*"}, Failure{"bench op --case ic3ih5oc4kh9", 2, "9 x 9"},
                    Failure{"bench op --threads 1,two", 2, "`two`"}, Failure{"bench op --seconds 0", 2, "--seconds"},
                    Failure{"bench op --model lenet6", 3, "lenet5"}, Failure{"bench op --backend tpu --case 2x3:3x4", 5, "eigen"},
                    Failure{"diff lenet5 reference eigen --model mlp", 2, "--model"}));

TEST(ExitCode, SevenNamesTheLayerThatGaveNaN) {
  const Program program;
  const Ran ran = program.train("--learning-rate 1e6 --weight-decay 1e6");
  EXPECT_EQ(ran.code, 7) << ran.error;
  EXPECT_TRUE(has(ran.error, "layer `")) << ran.error;
  EXPECT_FALSE(std::filesystem::exists(program.path("out/result.json")));
}

}  // namespace
}  // namespace fovea::cli
