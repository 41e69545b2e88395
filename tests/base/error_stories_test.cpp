// The list of errors, the ids in the code and docs/errors.md against each other.
#include "fovea/base/error_stories.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <regex>

#include "fovea/base/file.h"

namespace fovea {
namespace {

// The enumerators of ErrorId by name, from its header.
std::map<std::string, int> ids_of_the_header() {
  const std::string text = read_file("fovea/base/error_stories.h");
  const size_t begin = text.find("enum class ErrorId"), end = text.find("};", begin);
  const std::string body = text.substr(begin, end - begin);
  const std::regex member(R"((\w+) = (\d+),)");
  std::map<std::string, int> ids;
  for (std::sregex_iterator found(body.begin(), body.end(), member); found != std::sregex_iterator(); ++found)
    ids[(*found)[1]] = std::stoi((*found)[2]);
  return ids;
}

std::string all_code() {
  std::string code;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("fovea"))
    if (entry.is_regular_file() && !entry.path().stem().string().starts_with("error_stories")) code += read_file(entry.path());
  return code;
}

TEST(ErrorStories, AreThereForEveryIdAndForNoOther) {
  const std::map<std::string, int> ids = ids_of_the_header();
  EXPECT_EQ(ids.size(), error_stories().size());
  for (const auto& [name, number] : ids) EXPECT_EQ(static_cast<int>(story_of(static_cast<ErrorId>(number)).id), number) << name;
}

// The general ones, such as E0200, come from the exit code alone.
TEST(ErrorStories, AreAllUsed) {
  const std::string code = all_code();
  for (const auto& [name, number] : ids_of_the_header()) {
    if (number % 100 == 0 || number == static_cast<int>(general_id(ExitCode::internal))) continue;
    EXPECT_TRUE(std::regex_search(code, std::regex("ErrorId::" + name + "\\b"))) << name << " is thrown nowhere";
  }
}

TEST(ErrorStories, AreWhole) {
  for (const ErrorStory& story : error_stories()) {
    for (const std::string_view part : {story.title, story.meaning, story.example, story.remedy})
      EXPECT_FALSE(part.empty()) << name_of(story.id);
    EXPECT_EQ(story.meaning.back(), '.') << name_of(story.id);
    EXPECT_EQ(story.remedy.find('\n'), std::string_view::npos) << name_of(story.id);
    EXPECT_NE(story.code, ExitCode::ok) << name_of(story.id);
  }
}

TEST(ErrorStories, AreFoundByTheirId) {
  for (const char* name : {"E0203", "e0203", "0203", "203"}) EXPECT_EQ(find_story(name), &story_of(ErrorId::unknown_key)) << name;
  for (const char* name : {"", "E", "E9999", "E0203x", "unknown_key", "-203"}) EXPECT_EQ(find_story(name), nullptr) << name;
  EXPECT_EQ(name_of(ErrorId::internal), "E0001");
}

}  // namespace
}  // namespace fovea
