// The long story of an error, and docs/errors.md, which is made of all of them.
#include <gtest/gtest.h>

#include "tests/cli/program.h"

namespace fovea::cli {
namespace {

TEST(Explain, TellsTheStoryOfTheErrorThatWasShown) {
  const Program program;
  program.plant("r.toml", "epoch = 3\n");
  const std::string error = program.run("train {}/r.toml").error;
  ASSERT_TRUE(has(error, "error[E0203]")) << error;
  const Ran story = program.run("explain E0203");
  EXPECT_EQ(story.code, 0) << story.error;
  EXPECT_TRUE(story.out.starts_with("E0203: a key that nobody reads (exit code 3)\n\n")) << story.out;
  EXPECT_TRUE(has(story.out, "\nRemedy: ")) << story.out;
  const Ran flag = program.run("--explain E0203");
  EXPECT_EQ(flag.code, 0) << flag.error;
  EXPECT_EQ(flag.out, story.out);
}

TEST(Explain, ListsAll) {
  const Program program;
  const std::string list = program.run("explain").out;
  for (const std::string id : {"E0001  ", "E0101  ", "E0404  ", "E0801  "}) EXPECT_TRUE(has(list, id)) << list;
}

TEST(Explain, IsWhatTheDocumentationSays) {
  const Program program;
  EXPECT_EQ(program.run("explain --markdown").out, read_file("docs/errors.md"))
      << "build/fovea explain --markdown > docs/errors.md writes it anew";
}

}  // namespace
}  // namespace fovea::cli
