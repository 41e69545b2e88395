// What was measured: what is accepted comes back from the text that is made of it.
#include "fovea/train/tuning_file.h"

#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  fuzz::read_or_refuse([&] {
    const Tuning tuning = train::parse_tuning(fuzz::text_of({data, size}), "input");
    fuzz::require(train::parse_tuning(train::tuning_text(tuning), "again") == tuning);
  });
  return 0;
}
