// The text of an error as the program prints it.
#include "fovea/base/error.h"

#include <gtest/gtest.h>

#include <string>

namespace fovea {
namespace {

TEST(Error, ShowsPlaceFactsAndRemedyInTheOrderGiven) {
  const Error error = Error(ExitCode::config, "layer `conv3` needs 3 input channels but gets 1")
                          .at("models/xray.toml", 18)
                          .note("the data set has 1 channel")
                          .help("set channels = 3");
  EXPECT_STREQ(error.what(),
               "error: layer `conv3` needs 3 input channels but gets 1\n"
               "  --> models/xray.toml:18\n"
               "  note: the data set has 1 channel\n"
               "  help: set channels = 3");
  EXPECT_EQ(error.message(), "layer `conv3` needs 3 input channels but gets 1");
  EXPECT_EQ(error.code(), ExitCode::config);
}

TEST(Error, NamesAFileAsAWholeWithoutALine) {
  EXPECT_STREQ(Error(ExitCode::data, "cut off").at("a.bin").what(), "error: cut off\n  --> a.bin");
}

TEST(Error, KeepsTheDocumentedExitCodes) {
  EXPECT_EQ(static_cast<int>(ExitCode::usage), 2);
  EXPECT_EQ(static_cast<int>(ExitCode::config), 3);
  EXPECT_EQ(static_cast<int>(ExitCode::data), 4);
  EXPECT_EQ(static_cast<int>(ExitCode::device), 5);
  EXPECT_EQ(static_cast<int>(ExitCode::memory), 6);
  EXPECT_EQ(static_cast<int>(ExitCode::numeric), 7);
  EXPECT_EQ(static_cast<int>(ExitCode::target), 8);
  EXPECT_EQ(static_cast<int>(ExitCode::requeue), 75);
}

}  // namespace
}  // namespace fovea
