// A recipe: what is accepted comes back from the text that a run leaves of it.
#include "fovea/train/recipe.h"

#include "tests/fuzz/input.h"

namespace {

std::string text_after_reading(fovea::fuzz::Input input) {
  const fovea::fuzz::MemoryFile file(input);
  return fovea::train::recipe_text(fovea::train::read_recipe(file.path(), {}));
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  std::string text;
  fuzz::read_or_refuse([&] { text = text_after_reading({data, size}); });
  if (!text.empty()) fuzz::require(text_after_reading(fuzz::bytes_of(text)) == text);
  return 0;
}
