// The text of an error as the program prints it.
#include "fovea/base/error.h"

#include <gtest/gtest.h>

#include <string>

namespace fovea {
namespace {

TEST(Error, ShowsPlaceFactsAndRemedyInTheOrderGiven) {
  const Error error = Error(ErrorId::unfit_layer, "layer `conv3` needs 3 input channels but gets 1")
                          .at("models/xray.toml", 18)
                          .note("the data set has 1 channel")
                          .help("set channels = 3");
  EXPECT_STREQ(error.what(),
               "error[E0207]: layer `conv3` needs 3 input channels but gets 1\n"
               "  --> models/xray.toml:18\n"
               "  note: the data set has 1 channel\n"
               "  help: set channels = 3");
  EXPECT_EQ(error.message(), "layer `conv3` needs 3 input channels but gets 1");
  EXPECT_EQ(error.code(), ExitCode::config);
}

TEST(Error, NamesAFileAsAWholeWithoutALine) {
  EXPECT_TRUE(std::string(Error(ExitCode::data, "cut off").at("a.bin").what()).starts_with("error[E0300]: cut off\n  --> a.bin\n"));
}

TEST(Error, WithoutAHelpOfItsOwnShowsThatOfItsStory) {
  EXPECT_STREQ(Error(ErrorId::flag_value, "`x` is none").note("a fact").what(),
               ("error[E0102]: `x` is none\n  note: a fact\n  help: " + std::string(story_of(ErrorId::flag_value).remedy)).c_str());
  EXPECT_STREQ(Error(ErrorId::flag_value, "`x` is none").help("take y").note("a fact").what(),
               "error[E0102]: `x` is none\n  help: take y\n  note: a fact");
}

TEST(Error, HasTheExitCodeOfItsStory) {
  EXPECT_EQ(Error(ErrorId::not_idx, "x").code(), ExitCode::data);
  EXPECT_EQ(Error(ErrorId::not_idx, "x").id(), ErrorId::not_idx);
  for (const ExitCode code : {ExitCode::internal, ExitCode::usage, ExitCode::config, ExitCode::data, ExitCode::device, ExitCode::memory,
                              ExitCode::numeric, ExitCode::target, ExitCode::requeue})
    EXPECT_EQ(Error(code, "x").code(), code);
}

TEST(Error, IsNoneForARunThatStopsOnRequest) {
  EXPECT_TRUE(std::string(Error(ExitCode::requeue, "stopped").what()).starts_with("stopped\n  help: "));
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
