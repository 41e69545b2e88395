// What the system says of this machine.
#include "fovea/base/processor.h"

#include <gtest/gtest.h>

namespace fovea {
namespace {

TEST(Processor, HasANameMemoryAndACache) {
  EXPECT_NE(processor_name(), "");
  EXPECT_GT(memory_bytes(), size_t{1} << 28);
  EXPECT_GE(cache_bytes(), size_t{1} << 18);
  EXPECT_LT(cache_bytes(), memory_bytes());
}

}  // namespace
}  // namespace fovea
