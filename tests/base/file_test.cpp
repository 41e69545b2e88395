// Whole files, read and replaced.
#include "fovea/base/file.h"

#include "tests/data/data_folder.h"

namespace fovea {
namespace {

using data::DataFolder;
using data::error_text;

size_t files_in(const std::filesystem::path& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(ReplaceFile, WritesAllBytesAndLeavesNothingElse) {
  const DataFolder folder;
  const std::filesystem::path file = folder.path() / "a.bin";
  std::string bytes(300'000, 'x');
  bytes[7] = '\0';
  replace_file(file, "what was there before, and is longer than nothing");
  replace_file(file, bytes);
  EXPECT_EQ(read_file(file), bytes);
  EXPECT_EQ(files_in(folder.path()), 1u);
  replace_file(file, "");
  EXPECT_EQ(read_file(file), "");
}

TEST(ReplaceFile, WithoutAFolderItNamesTheFile) {
  const DataFolder folder;
  const std::string text = error_text(ExitCode::data, [&] { replace_file(folder.path() / "absent" / "a.bin", "x"); });
  EXPECT_NE(text.find("absent/.a.bin."), std::string::npos) << text;
  EXPECT_NE(text.find("No such file or directory"), std::string::npos) << text;
}

TEST(ReplaceFile, ThatCannotBeRenamedLeavesTheTargetAndNoTemporaryFile) {
  const DataFolder folder;
  folder.plant("target/inner", "x");  // a folder stands where the file should go
  error_text(ExitCode::data, [&] { replace_file(folder.path() / "target", "y"); });
  EXPECT_EQ(read_file(folder.path() / "target" / "inner"), "x");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(ReadFile, RefusesFoldersAndAbsentFiles) {
  const DataFolder folder;
  EXPECT_NE(error_text(ExitCode::data, [&] { read_file(folder.path()); }).find("it is a folder"), std::string::npos);
  EXPECT_NE(error_text(ExitCode::data, [&] { read_file(folder.path() / "absent"); }).find("absent"), std::string::npos);
}

TEST(ReadFile, ReadsFilesWhoseSizeIsNotKnownBefore) { EXPECT_NE(read_file("/proc/self/status").find("Name:"), std::string::npos); }

}  // namespace
}  // namespace fovea
