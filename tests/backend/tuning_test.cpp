// What was measured is found again; measured twice, the later choice holds.
#include "fovea/backend/tuning.h"

#include <gtest/gtest.h>

#include "fovea/device/device.h"

namespace fovea {
namespace {

TEST(Tuning, KeepsTheLaterChoiceOfAProblem) {
  Tuning tuning("a GPU");
  EXPECT_EQ(tuning.find("conv2d"), nullptr);
  tuning.keep("conv2d", {"engine 3", 12, "engine 1", 13});
  const Tuning::Choice* first = tuning.find("conv2d");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->taken, "engine 3");
  tuning.keep("linear", {"engine 7", 5, "", 0});
  EXPECT_EQ(tuning.find("conv2d"), first);
  tuning.keep("conv2d", {"engine 1", 11, "engine 3", 12});
  EXPECT_EQ(tuning.find("conv2d")->taken, "engine 1");
  EXPECT_EQ(tuning.choices().size(), 2u);
  EXPECT_EQ(tuning.platform(), "a GPU");
}

TEST(Tuning, TheHostTimesWhatItRuns) {
  const std::unique_ptr<Device> host = make_host_device();
  const std::unique_ptr<Stream> stream = host->make_stream();
  int runs = 0;
  EXPECT_GE(host->seconds(*stream, [&] { ++runs; }), 0);
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(host->platform().empty());
}

}  // namespace
}  // namespace fovea
