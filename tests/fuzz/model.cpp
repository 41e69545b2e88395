// The text of a network: what is accepted has a summary, and its text gives the same network again.
#include "fovea/model/network.h"
#include "fovea/model/summary.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  fuzz::read_or_refuse([&] {
    const model::Network network = model::parse_network(std::string(fuzz::text_of({data, size})), "input.toml");
    fuzz::require(network.trained_elements() > 0 && network.outputs > 0);
    const std::string summary = model::summary(network);
    fuzz::require(model::summary(model::parse_network(network.text, "input.toml")) == summary);
  });
  return 0;
}
