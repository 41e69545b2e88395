// Recipes from files and flags.
#include "fovea/train/recipe.h"

#include <filesystem>

#include "fovea/train/trainer.h"
#include "tests/data/data_folder.h"

namespace fovea::train {
namespace {

using data::DataFolder;
using data::error_text;
using Flags = std::map<std::string, std::string>;

Recipe from_text(const std::string& text, const Flags& flags = {}) {
  const DataFolder folder;
  folder.plant("recipe.toml", text);
  return read_recipe(folder.path() / "recipe.toml", flags);
}

TEST(Recipe, FlagsWinOverTheFileAndTheFileOverDefaults) {
  const Recipe recipe = from_text("data = \"digits\"\nmodel = \"lenet5\"\nepochs = 3\nlearning_rate = 1\n", {{"epochs", "7"}});
  EXPECT_EQ(recipe.data, "digits");
  EXPECT_EQ(recipe.epochs, 7);
  EXPECT_EQ(recipe.learning_rate, 1.0);  // a whole number will do
  EXPECT_EQ(recipe.batch, 64);
}

TEST(Recipe, FlagsAloneWillDo) {
  const Recipe recipe = read_recipe({}, {{"data", "digits"},
                                         {"model", "logistic"},
                                         {"positive", "1,3,with space"},
                                         {"mean", "0.5, 0.25"},
                                         {"deviation", "1,1e-3"},
                                         {"mirror", "true"},
                                         {"claims", "false"},
                                         {"valid", "0.1"},
                                         {"out", "a \"quoted\" \\ path"}});
  EXPECT_EQ(recipe.positive, (std::vector<std::string>{"1", "3", "with space"}));
  EXPECT_EQ(recipe.mean, (std::vector<double>{0.5, 0.25}));
  EXPECT_EQ(recipe.deviation, (std::vector<double>{1, 0.001}));
  EXPECT_EQ(recipe.mirror, Switch::on);
  EXPECT_EQ(recipe.claims, Switch::off);
  EXPECT_EQ(recipe.valid, "0.1");
  EXPECT_EQ(recipe.out, "a \"quoted\" \\ path");
}

// A value for every key that is not its default.
const Flags all_flags = {{"data", "mnist:some dir"},
                         {"model", "nets/a.toml"},
                         {"backend", "eigen"},
                         {"precision", "bf16"},
                         {"threads", "3"},
                         {"epochs", "12"},
                         {"batch", "33"},
                         {"micro_batches", "4"},
                         {"seed", "9223372036854775807"},
                         {"out", "runs/\"x\"\t\x01"},
                         {"memory_limit", "1.5 GiB"},
                         {"optimizer", "sgd"},
                         {"learning_rate", "1e-05"},
                         {"momentum", "0.9"},
                         {"nesterov", "true"},
                         {"weight_decay", "5e-4"},
                         {"decay_on", "weights"},
                         {"beta1", "0.8"},
                         {"beta2", "0.99"},
                         {"alpha", "0.9"},
                         {"epsilon", "1e-7"},
                         {"clip_norm", "2"},
                         {"ema_decay", "0.99"},
                         {"label_smoothing", "0.1"},
                         {"class_weights", "1,2.5,0"},
                         {"schedule", "milestones"},
                         {"milestones", "2,4.5"},
                         {"plateau_patience", "3"},
                         {"warmup_epochs", "1.5"},
                         {"watch", "loss"},
                         {"min_delta", "0.001"},
                         {"early_stopping", "4"},
                         {"step_every", "5"},
                         {"step_factor", "0.5"},
                         {"final_rate", "0.01"},
                         {"peak_at", "0.4"},
                         {"valid", "0.1"},
                         {"keep", "best"},
                         {"positive", "cat,dog"},
                         {"mean", "0.1,0.2,0.3"},
                         {"deviation", "1,2,3"},
                         {"mirror", "true"},
                         {"crop_padding", "4"},
                         {"claims", "false"},
                         {"recompute", "true"},
                         {"save_every", "250 steps"},
                         {"replay", "false"},
                         {"dependent_launch", "false"},
                         {"autotune", "across"},
                         {"tuning", "runs/a/tuning.json"}};

TEST(Recipe, EveryKeyComesBackFromItsText) {
  Flags flags = all_flags;
  flags["out"] = "runs/\"x\"";
  Recipe recipe = read_recipe({}, flags);
  recipe.out = all_flags.at("out");  // control characters are no flag's business, but a file can have them
  const std::string text = recipe_text(recipe);
  EXPECT_EQ(recipe_text(from_text(text)), text);
  EXPECT_EQ(from_text(text).out, recipe.out);
  EXPECT_EQ(from_text(text).seed, INT64_MAX);
  const Recipe standard = read_recipe({}, {{"data", "digits"}, {"model", "lenet5"}});
  for (const RecipeKey& key : recipe_keys()) {
    ASSERT_TRUE(flags.contains(key.name)) << key.name;
    Flags one = {{"data", "digits"}, {"model", "lenet5"}};
    if (key.name == "nesterov") one["momentum"] = "0.5";
    if (key.name == "keep" || key.name == "early_stopping") one["valid"] = "test";
    if (key.name == "warmup_epochs") one["epochs"] = "5";
    if (key.name == "schedule" || key.name == "milestones") one["schedule"] = "milestones", one["milestones"] = "3";
    if (key.name == "mean" || key.name == "deviation") one["mean"] = one["deviation"] = "1,2,3";
    one[key.name] = key.name == "optimizer" ? "adam" : flags.at(key.name);
    EXPECT_NE(recipe_text(read_recipe({}, one)), recipe_text(standard)) << key.name;
  }
}

TEST(Recipe, WithDefaultsAloneComesBackFromItsText) {
  const std::string text = recipe_text(read_recipe({}, {{"data", "digits"}, {"model", "lenet5"}}));
  EXPECT_EQ(recipe_text(from_text(text)), text);
}

TEST(Recipe, AnUnknownKeyNamesItsPlaceAndWhatWasMeant) {
  const std::string text = error_text(ExitCode::config, [] { from_text("data = \"digits\"\nmodel = \"lenet5\"\nlearnin_rate = 0.1\n"); });
  EXPECT_NE(text.find("recipe.toml:3"), std::string::npos) << text;
  EXPECT_NE(text.find("did you mean `learning_rate`?"), std::string::npos) << text;
}

TEST(Recipe, WrongValuesInTheFileNameTheirLine) {
  for (const std::string line : {"epochs = 0", "epochs = 1.5", "epochs = \"3\"", "optimizer = \"sdg\"", "learning_rate = nan",
                                 "learning_rate = -1", "mirror = 1", "mean = []", "mean = [\"a\"]", "data = true", "data = 5",
                                 "positive = [1]", "seed = -1", "keep = \"first\"", "valid = [0.1]", "deviation = [0]"}) {
    const std::string text = error_text(ExitCode::config, [&] { from_text("model = \"lenet5\"\n" + line + "\n"); });
    EXPECT_NE(text.find("recipe.toml:2"), std::string::npos) << text;
    EXPECT_NE(text.find("`" + line.substr(0, line.find(' ')) + "`"), std::string::npos) << text;
  }
  EXPECT_NE(error_text(ExitCode::config, [] { from_text("data = \"digits\"\nepochs = = 3\n"); }).find("recipe.toml:2"), std::string::npos);
  error_text(ExitCode::data, [] { read_recipe("no/such/recipe.toml", {}); });
}

TEST(Recipe, WrongFlagsNameTheFlag) {
  const std::vector<std::pair<std::string, std::string>> wrong = {{"epochs", "0"},
                                                                  {"epochs", "three"},
                                                                  {"epochs", ""},
                                                                  {"epochs", "1.5"},
                                                                  {"epochs", "99999999999999999999"},
                                                                  {"batch", "-1"},
                                                                  {"batch", "1 2"},
                                                                  {"batch", "[4]"},
                                                                  {"learning_rate", "fast"},
                                                                  {"learning_rate", "inf"},
                                                                  {"learning_rate", "1e30"},
                                                                  {"optimizer", "adagrad"},
                                                                  {"class_weights", "even"},
                                                                  {"class_weights", "1,-1"},
                                                                  {"ema_decay", "1"},
                                                                  {"milestones", "1,x"},
                                                                  {"mirror", "yes"},
                                                                  {"mean", "a"},
                                                                  {"mean", "0.1,,0.2"},
                                                                  {"beta1", "1.5"},
                                                                  {"beta1", "1"},
                                                                  {"beta2", "1"},
                                                                  {"beta2", "0.99999999"},  // 1 as a float
                                                                  {"keep", "none"},
                                                                  {"threads", "-2"},
                                                                  {"epochs", "3\nbatch = 5"}};
  for (const auto& [flag, value] : wrong) {
    try {
      read_recipe({}, {{"data", "digits"}, {"model", "lenet5"}, {flag, value}});
      ADD_FAILURE() << "no error for --" << flag << " " << value;
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ExitCode::usage || error.code() == ExitCode::config) << error.what();
      EXPECT_NE(std::string(error.what()).find("--" + flag), std::string::npos) << error.what();
    }
  }
  error_text(ExitCode::usage, [] { read_recipe({}, {{"speed", "5"}}); });
}

TEST(Recipe, RefusesKeysThatContradictEachOther) {
  const auto refused = [](Flags flags) {
    flags.insert({{"data", "digits"}, {"model", "lenet5"}});
    return error_text(ExitCode::config, [&] { read_recipe({}, flags); });
  };
  EXPECT_NE(refused({{"keep", "best"}}).find("valid"), std::string::npos);
  EXPECT_NE(refused({{"keep", "best"}, {"valid", "0.0"}}).find("valid"), std::string::npos);
  EXPECT_NE(refused({{"valid", "1.5"}}).find("1.5"), std::string::npos);
  EXPECT_NE(refused({{"valid", "all"}}).find("all"), std::string::npos);
  EXPECT_NE(refused({{"valid", "nan"}}).find("nan"), std::string::npos);
  EXPECT_NE(refused({{"nesterov", "true"}}).find("momentum"), std::string::npos);
  EXPECT_NE(refused({{"batch", "2"}, {"micro_batches", "3"}}).find("3 micro-batches"), std::string::npos);
  EXPECT_NE(refused({{"schedule", "milestones"}}).find("0 milestones"), std::string::npos);
  EXPECT_NE(refused({{"milestones", "3"}}).find("1 milestones"), std::string::npos);
  EXPECT_NE(refused({{"schedule", "milestones"}, {"milestones", "3,3"}}).find("rising"), std::string::npos);
  EXPECT_NE(refused({{"schedule", "plateau"}}).find("plateau"), std::string::npos);
  EXPECT_NE(refused({{"early_stopping", "3"}}).find("early_stopping needs images"), std::string::npos);
  EXPECT_NE(refused({{"epochs", "3"}, {"warmup_epochs", "3"}}).find("warm-up"), std::string::npos);
  EXPECT_NE(refused({{"nesterov", "true"}, {"momentum", "0.9"}, {"optimizer", "adam"}}).find("nesterov"), std::string::npos);
  EXPECT_NE(refused({{"mean", "0.1"}}).find("deviation"), std::string::npos);
  error_text(ExitCode::config, [] { read_recipe({}, {{"model", "lenet5"}}); });
  error_text(ExitCode::config, [] { read_recipe({}, {{"data", "digits"}}); });
}

TEST(Recipe, EarlyStoppingKeepsTheBestUnlessToldOtherwise) {
  const std::string text = "data = \"digits\"\nmodel = \"lenet5\"\nvalid = \"test\"\nearly_stopping = 3\n";
  EXPECT_EQ(from_text(text).keep, "best");
  EXPECT_EQ(from_text(text + "keep = \"last\"\n").keep, "last");
  EXPECT_EQ(from_text(text, {{"keep", "last"}}).keep, "last");
  EXPECT_EQ(from_text(text, {{"early_stopping", "0"}}).keep, "last");
}

TEST(Recipe, NamesTheRuleOfTheUpdate) {
  Recipe recipe;
  recipe.momentum = 0.5;
  recipe.alpha = 0.25;
  recipe.beta1 = 0.125;
  recipe.epsilon = 2;
  EXPECT_EQ(std::get<Sgd>(recipe.update_rule()).momentum, 0.5f);
  recipe.optimizer = "adam";
  EXPECT_EQ(std::get<Adam>(recipe.update_rule()).beta1, 0.125f);
  recipe.optimizer = "adamw";
  EXPECT_EQ(std::get<AdamW>(recipe.update_rule()).epsilon, 2);
  recipe.optimizer = "rmsprop";
  EXPECT_EQ(std::get<RmsProp>(recipe.update_rule()).alpha, 0.25f);
  EXPECT_EQ(std::get<RmsProp>(recipe.update_rule()).momentum, 0.5f);
}

// A gradient of 0 at the first step would be 0 / 0.
TEST(Recipe, AnEpsilonOfZeroIsRefusedWhereItDivides) {
  for (const std::string optimizer : {"adam", "adamw", "rmsprop"})
    for (const std::string zero : {"0", "1e-60"}) {
      const std::string text = error_text(ExitCode::config, [&] {
        from_text("data = \"digits\"\nmodel = \"lenet5\"\noptimizer = \"" + optimizer + "\"\nepsilon = " + zero + "\n");
      });
      EXPECT_NE(text.find("epsilon is " + zero), std::string::npos) << text;
      EXPECT_NE(text.find("1e-8"), std::string::npos) << text;
    }
  EXPECT_EQ(from_text("data = \"digits\"\nmodel = \"lenet5\"\nepsilon = 0\n").epsilon, 0);
}

TEST(Recipe, TheBatchIsANumberOrAuto) {
  const std::string head = "data = \"digits\"\nmodel = \"lenet5\"\n";
  const Recipe recipe = from_text(head + "batch = \"auto\"\nmicro_batches = 8\n");
  EXPECT_EQ(recipe.batch, automatic_batch);
  EXPECT_EQ(from_text(head, {{"batch", "auto"}}).batch, automatic_batch);
  EXPECT_EQ(recipe_text(from_text(recipe_text(recipe))), recipe_text(recipe));
  error_text(ExitCode::config, [&] { from_text(head + "batch = 0\n"); });
  error_text(ExitCode::config, [&] { from_text(head + "batch = \"automatic\"\n"); });
  error_text(ExitCode::usage, [&] { from_text(head, {{"epochs", "auto"}}); });
  error_text(ExitCode::usage, [&] { refuse_automatic_batch(recipe); });
}

TEST(Recipe, ClassWeightsAreNumbersOrBalanced) {
  const auto weights = [](const std::string& value) {
    return from_text("data = \"digits\"\nmodel = \"lenet5\"\nclass_weights = " + value + "\n").class_weights;
  };
  EXPECT_EQ(weights("\"balanced\"").kind, ClassWeights::Kind::balanced);
  EXPECT_EQ(weights("[1, 0.5]").kind, ClassWeights::Kind::given);
  EXPECT_EQ(weights("[1, 0.5]").given, (std::vector<double>{1, 0.5}));
  Recipe recipe = read_recipe({}, {{"data", "digits"}, {"model", "lenet5"}, {"class_weights", "balanced"}});
  EXPECT_EQ(recipe.class_weights.kind, ClassWeights::Kind::balanced);
  EXPECT_NE(recipe_text(recipe).find("class_weights = \"balanced\"\n"), std::string::npos);
}

TEST(Recipe, TablesOfTensorsAreReadAndWritten) {
  const std::string head = "data = \"digits\"\nmodel = \"lenet5\"\n";
  const Recipe recipe = from_text(head +
                                  "[[tensors]]\nmatch = \"conv?.*\"\nrate_scale = 0.5\ndecay = 0\n"
                                  "[[tensors]]\nmatch = \"conv1.*\"\nfrozen = true\n");
  ASSERT_EQ(recipe.tensors.size(), 2u);
  EXPECT_EQ(recipe.tensors[0].match, "conv?.*");
  EXPECT_EQ(recipe.tensors[0].rate_scale, 0.5);
  EXPECT_EQ(recipe.tensors[0].decay, 0.0);
  EXPECT_FALSE(recipe.tensors[0].frozen.has_value());
  EXPECT_EQ(recipe.tensors[1].frozen, Switch::on);
  EXPECT_EQ(recipe.tensors[1].line, 7);
  EXPECT_EQ(recipe_text(from_text(recipe_text(recipe))), recipe_text(recipe));
  for (const std::string wrong : {"match = \"a\"\nrate = 1", "rate_scale = 1", "match = \"a\"", "match = \"a\"\nfrozen = 1"})
    EXPECT_NE(error_text(ExitCode::config, [&] { from_text(head + "[[tensors]]\n" + wrong + "\n"); }).find("recipe.toml:"),
              std::string::npos);
  error_text(ExitCode::config, [&] { from_text(head + "tensors = 3\n"); });
}

TEST(Recipe, AllShippedOnesAreWhole) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("recipes")) {
    if (entry.is_directory()) continue;
    const Recipe recipe = read_recipe(entry.path(), {});
    model::load_network(recipe.model);
    ++count;
  }
  EXPECT_GE(count, 10u);
}

}  // namespace
}  // namespace fovea::train
