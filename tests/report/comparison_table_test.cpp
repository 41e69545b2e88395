// The table of a comparison on a terminal and as Markdown.
#include "fovea/report/comparison_table.h"

#include <algorithm>

#include "tests/report/comparison_file.h"

namespace fovea::report {
namespace {

size_t count(const std::string& text, std::string_view part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(ComparisonTable, HasAColumnForEachFigureThatIsKnown) {
  const std::string text = comparison_table(comparison_of(sample_comparison()), Style::markdown);
  for (const char* title : {"| backend |", "| threads |", "| batch |", "| speed-up |", "| images/s |", "| ms/step |", "| s/epoch |",
                            "| time to target |", "| training accuracy |", "| validation accuracy |", "| test accuracy |", "| peak host |",
                            "| net energy/image |", "| of the roof |"})
    EXPECT_EQ(count(text, title), 1U) << title << "\n" << text;
  EXPECT_EQ(count(text, "| peak device |"), 0U) << text;
  EXPECT_NE(text.find("- peak device: not measured: "), std::string::npos) << text;
  EXPECT_NE(text.find("| 1.88 (1.85 to 1.91) | 7,900 (7,860 to 7,940) |"), std::string::npos) << text;
  EXPECT_NE(text.find("95.11 ± 0.19 %"), std::string::npos) << text;
  EXPECT_NE(text.find("- openmp, 2 threads, batch 4,096: refused: needs 19.5 GiB"), std::string::npos) << text;
  EXPECT_NE(text.find("- cuda: absent: no NVIDIA driver"), std::string::npos) << text;
}

TEST(ComparisonTable, SaysOnceWhatAllRowsShare) {
  const std::string text = comparison_table(comparison_of(sample_comparison()), Style::terminal);
  EXPECT_TRUE(text.starts_with("lenet5 on digits: every backend of an example machine: 6 epochs, fp32, Example CPU\n")) << text;
  EXPECT_EQ(count(text, "precision"), 0U) << text;
}

TEST(ComparisonTable, FitsOnAWideTerminal) {
  const std::string text = comparison_table(comparison_of(sample_comparison()), Style::terminal);
  const size_t head = text.find("backend ");
  EXPECT_LE(text.find('\n', head) - head, 150U) << text;
}

TEST(ComparisonTable, MarksWhatIsNoSignificantDifference) {
  nlohmann::ordered_json json = sample_comparison();
  json["rows"][1]["speedup"] = {
      {"against", json["rows"][0]["id"]}, {"ratio", 1.01}, {"low", 0.98}, {"high", 1.03}, {"verdict", "no significant difference"}};
  const std::string text = comparison_table(comparison_of(json), Style::terminal);
  EXPECT_NE(text.find("1.01 n.s. (0.98 to 1.03)"), std::string::npos) << text;
  EXPECT_NE(text.find("\nn.s.: no significant difference\n"), std::string::npos) << text;
}

TEST(ComparisonTable, SaysWhoseKernelsRan) {
  nlohmann::ordered_json json = sample_comparison();
  json["rows"][0]["providers"] = {{"eigen", 37}};
  json["rows"][1]["providers"] = {{"eigen", 3}, {"openmp", 34}};
  json["rows"][2]["providers"] = {{"eigen", 37}};
  const std::string text = comparison_table(comparison_of(json), Style::markdown);
  EXPECT_NE(text.find("34 of 37 steps are openmp's own, 3 are eigen's\n"), std::string::npos) << text;
  EXPECT_NE(text.find("none of 37 steps are openmp's own, 37 are eigen's\n"), std::string::npos) << text;
  EXPECT_EQ(count(text, "'s own"), 2U) << text;
}

TEST(ComparisonTable, SaysEachReasonOnceWithTheRowsAndColumnsThatItConcerns) {
  nlohmann::ordered_json json = sample_comparison();
  for (const size_t i : {0, 2}) json["rows"][i]["energy"] = {{"reason", "no counter"}};
  json["rows"][2]["roof"] = {{"reason", "no counter"}};
  json["rows"][1]["roof"] = nullptr;
  const nlohmann::ordered_json& rows = json["rows"];
  ASSERT_EQ(rows[0]["status"], "ran");
  for (const Style style : {Style::markdown, Style::terminal}) {
    const std::string text = comparison_table(comparison_of(json), style);
    EXPECT_NE(
        text.find("net energy/image, gross energy/image, gross energy of eigen, 1 thread, batch 64; openmp, 2 threads, batch 64; of the "
                  "roof of openmp, 2 threads, batch 64: not measured: no counter\n"),
        std::string::npos)
        << text;
    EXPECT_NE(text.find("of the roof of openmp, 1 thread, batch 64; peak device: not measured: no reason is recorded\n"), std::string::npos)
        << text;
    EXPECT_EQ(count(text, "no counter"), 1U) << text;
  }
}

TEST(ComparisonTable, AlignsByLettersNotByBytes) {
  nlohmann::ordered_json json = sample_comparison();
  json["rows"][0]["energy"]["net_joules_per_image"] = 203e-6;
  const std::string text = comparison_table(comparison_of(json), Style::terminal);
  EXPECT_NE(text.find("203 µJ"), std::string::npos) << text;
  const auto letters_before = [&](std::string_view part) {
    const size_t end = text.find(part) + part.size(), begin = text.rfind('\n', end) + 1;
    return std::count_if(text.begin() + static_cast<std::ptrdiff_t>(begin), text.begin() + static_cast<std::ptrdiff_t>(end),
                         [](char byte) { return (byte & 0xC0) != 0x80; });
  };
  EXPECT_EQ(letters_before("203 µJ"), letters_before("net energy/image")) << text;
}

TEST(ComparisonTable, GivesTheReasonWhereNothingIsKnown) {
  const std::string text = comparison_table(comparison_of(without_figures(sample_comparison())), Style::terminal);
  EXPECT_NE(text.find("cuda: absent: the reason"), std::string::npos) << text;
  EXPECT_EQ(count(text, "images/s, "), 1U) << text;
}

TEST(ComparisonTable, KeepsItsFormForHostileNames) {
  nlohmann::ordered_json json = sample_comparison();
  json["rows"][0]["backend"] = "a|b\nc";
  const std::string text = comparison_table(comparison_of(json), Style::markdown);
  EXPECT_NE(text.find("| a\\|b c |"), std::string::npos) << text;
}

}  // namespace
}  // namespace fovea::report
