#include "fovea/train/recipe_check.h"

#include <fmt/format.h>

#include <functional>

#include "fovea/base/error.h"

namespace fovea::train {
namespace {

using Refuse = std::function<void(std::string message, std::string remedy)>;  // throws

void check_schedule(const Recipe& recipe, const Refuse& refuse) {
  if ((recipe.schedule == "milestones") != !recipe.milestones.empty())
    refuse(fmt::format("the schedule is \"{}\" with {} milestones", recipe.schedule, recipe.milestones.size()),
           "give schedule = \"milestones\" and milestones together, for example milestones = [80, 120]");
  for (size_t i = 1; i < recipe.milestones.size(); ++i)
    if (recipe.milestones[i] <= recipe.milestones[i - 1])
      refuse(fmt::format("milestone {} does not come after {}", recipe.milestones[i], recipe.milestones[i - 1]),
             "name the epochs in rising order");
  if (recipe.warmup_epochs > 0 && recipe.warmup_epochs >= static_cast<double>(recipe.epochs))
    refuse(fmt::format("a warm-up of {} epochs leaves nothing of {}", recipe.warmup_epochs, recipe.epochs),
           "set warmup_epochs to less than epochs");
  constexpr const char* remedy = "set valid = 0.1, or valid = \"test\"";
  if (recipe.validates()) return;
  if (recipe.schedule == "plateau") refuse("schedule = \"plateau\" needs images to validate on", remedy);
  if (recipe.early_stopping > 0) refuse("early_stopping needs images to validate on", remedy);
  if (recipe.keep == "best") refuse("keep = \"best\" needs images to validate on", remedy);
}

}  // namespace

void check_recipe(const Recipe& recipe, const std::string& file) {
  const Refuse refuse = [&](std::string message, std::string remedy) {
    Error error(ErrorId::contradiction, std::move(message));
    if (!file.empty()) error.at(file);
    throw error.help(std::move(remedy));
  };
  if (recipe.data.empty()) refuse("no data set is named", "give --data, for example --data digits");
  if (recipe.model.empty()) refuse("no network is named", "give --model, for example --model lenet5");
  if (recipe.batch != automatic_batch && recipe.micro_batches > recipe.batch)
    refuse(fmt::format("a batch of {} cannot be cut into {} micro-batches", recipe.batch, recipe.micro_batches),
           "set micro_batches to at most the batch");
  if (recipe.mean.size() != recipe.deviation.size())
    refuse(fmt::format("mean has {} values but deviation has {}", recipe.mean.size(), recipe.deviation.size()),
           "give both, one value per channel");
  if (recipe.nesterov == Switch::on && recipe.momentum == 0)
    refuse("nesterov asks for momentum, which is 0", "set momentum, for example to 0.9");
  if (recipe.nesterov == Switch::on && recipe.optimizer != "sgd")
    refuse(fmt::format("nesterov is a variant of sgd, but the optimizer is {}", recipe.optimizer), "leave one of the two out");
  if (static_cast<float>(recipe.epsilon) == 0 && recipe.optimizer != "sgd")
    refuse(
        fmt::format("epsilon is {} (0 in single precision), but {} divides by it where a gradient is 0", recipe.epsilon, recipe.optimizer),
        "set epsilon, for example to 1e-8");
  if (!recipe.tuning.empty() && recipe.autotune == "off")
    refuse("tuning names choices, but autotune = \"off\" makes none", "leave one of the two out");
  check_schedule(recipe, refuse);
}

}  // namespace fovea::train
