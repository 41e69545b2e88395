// The figures of a comparison: which rows they draw, what is said of them, and that marks tell rows apart.
#include "fovea/report/figures.h"

#include <fmt/format.h>

#include <regex>
#include <set>

#include "fovea/report/html.h"
#include "tests/report/comparison_file.h"

namespace fovea::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t on_gpu = 3, without_watts = 0;

Json with_a_gpu() {
  Json json = sample_comparison();
  json["rows"][on_gpu]["threads"] = nullptr;
  for (Json& row : json["rows"])
    for (Json& run : row["runs"])
      for (Json& sample : run["samples"]) sample.update({{"gpu", 0.5}, {"device_bytes", 1e9}, {"gpu_watts", 300}});
  for (Json& run : json["rows"][without_watts]["runs"])
    for (Json& sample : run["samples"]) sample["cpu_watts"] = nullptr;
  return json;
}

Figure figure_of(const Json& json, std::string_view id) {
  for (Figure& figure : figures_of(comparison_of(json)))
    if (figure.id == id) return figure;
  ADD_FAILURE() << "no figure " << id;
  return {};
}

void expect_in(const std::string& text, std::string_view part) { EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text; }

TEST(Figures, ThoseOfTheGpuHoldItsRowsAlone) {
  const Json json = with_a_gpu();
  for (const char* id : {"gpu", "device-memory"}) {
    const Figure figure = figure_of(json, id);
    ASSERT_EQ(figure.legend.size(), 1U) << id;
    EXPECT_EQ(figure.legend[0].series, on_gpu);
  }
  EXPECT_EQ(figure_of(json, "cpu").legend.size(), 5U);
}

TEST(Figures, PowerIsThatOfTheDeviceOfTheRow) {
  const Figure figure = figure_of(with_a_gpu(), "power");
  ASSERT_EQ(figure.legend.size(), 4U);
  for (size_t i = 0; i < figure.data[0].cells.size(); ++i)
    EXPECT_EQ(figure.data[2].cells[i] == "300", figure.data[0].cells[i] == "openmp, batch 256") << figure.data[0].cells[i];
  expect_in(figure.caption, " GPU: openmp, batch 256; a turn begins");
  expect_in(figure.caption, " Processor: openmp, 1 thread, batch 64; openmp, 2 threads, batch 64; onednn, 2 threads, batch 64.");
  expect_in(figure.caption, " Not measured: eigen, 1 thread, batch 64.");
}

TEST(Figures, SayWhoseHostMemoryItIs) {
  expect_in(figure_of(sample_comparison(), "host-memory").caption,
            "whole process, with the backend of every row in it (what a row takes itself stands in the table)");
}

TEST(Figures, SpeakOfSeveralRunsOnlyWhereThereAreSome) {
  Json json = sample_comparison();
  expect_in(figure_of(json, "loss-epoch").caption, "the mean of the runs of each row, with the band in which single runs lie");
  expect_in(figure_of(json, "cpu").caption, "the first run of each row");
  for (Json& row : json["rows"])
    if (row["status"] == "ran") row["runs"].erase(1);
  for (const char* id : {"loss-epoch", "loss-time", "accuracy-epoch", "accuracy-time"}) {
    const std::string caption = figure_of(json, id).caption;
    EXPECT_TRUE(caption.ends_with(": one training of each row.")) << caption;
  }
  expect_in(figure_of(json, "cpu").caption, "while each row trained");
}

TEST(Figures, NameTheRowOfTheDottedLine) {
  expect_in(figure_of(sample_comparison(), "speedup").caption, "the dotted line is the speed of eigen, 1 thread, batch 64.");
}

TEST(Figures, TheConfusionMatrixSpeaksOfColoursThatBothSchemesHave) {
  Json json = sample_comparison();
  for (Json& run : json["rows"][3]["runs"]) run["confusion"][0][0] = 1135;
  const Figure figure = figure_of(json, "confusion");
  expect_in(figure.caption, "the stronger a colour, the larger the share of the row. An empty cell has no image.");
  const std::regex count(R"re(font-size="([0-9.]+)" text-anchor="middle">1135<)re");
  std::smatch found;
  ASSERT_TRUE(std::regex_search(figure.picture, found, count)) << figure.picture;
  EXPECT_LE(4 * 0.7 * std::stod(found[1]), 37) << "four digits of a wide font fit into a cell";
}

// Of points and their marks at the axis, nothing lies on or beyond the frame.
TEST(Figures, PointsOfEnergyHaveRoom) {
  Json json = sample_comparison();
  json["rows"][0]["images_per_second"]["median"] = 1000 / 0.008;  // the longest time and the highest energy, both round numbers
  for (size_t i = 1; i < 5; ++i) json["rows"][i]["images_per_second"]["median"] = 1000 / 0.004;
  json["rows"][0]["energy"]["net_joules_per_image"] = 0.005;
  const Figure figure = figure_of(json, "energy");
  EXPECT_EQ(figure.marks, Marks::dots_alone);
  const std::regex point(R"re(<circle[^>]* cx="([0-9.]+)" cy="([0-9.]+)")re");
  for (std::sregex_iterator at(figure.picture.begin(), figure.picture.end(), point), end; at != end; ++at) {
    EXPECT_LE(std::stod((*at)[1]), 400 - 14 - 7) << at->str();
    EXPECT_GE(std::stod((*at)[2]), 30 + 7) << at->str();
  }
  const std::regex label(R"re( x="([0-9.]+)"[^>]*text-anchor="middle">([0-9.,]+)<)re");
  for (std::sregex_iterator at(figure.picture.begin(), figure.picture.end(), label), end; at != end; ++at)
    EXPECT_LE(std::stod((*at)[1]) + text_width((*at)[2].str(), 13) / 2, 397) << at->str();
}

TEST(Figures, TheLegendOfPointsShowsPoints) {
  const std::string page = html_page(comparison_of(sample_comparison()));
  const size_t at = page.find("<figure id=\"figure-energy\""), legend = page.find("<ul class=\"legend\">", at),
               end = page.find("</ul>", legend);
  const std::string part = page.substr(legend, end - legend);
  EXPECT_EQ(part.find("stroke-width"), std::string::npos) << part;
  EXPECT_NE(part.find("<circle"), std::string::npos) << part;
}

TEST(Figures, ColoursAndPatternsAreOthersForEachRow) {
  std::set<Ink> inks;
  std::set<std::pair<Ink, size_t>> lines;
  std::set<std::pair<Ink, Symbol>> points;
  for (size_t i = 0; i < 40; ++i) {
    if (i < 10) inks.insert(series_ink(i));
    lines.insert({series_stroke(i).ink, series_stroke(i).dashes});
    points.insert({series_ink(i), series_symbol(i)});
  }
  EXPECT_EQ(inks.size(), 10U);
  EXPECT_EQ(lines.size(), 40U);
  EXPECT_EQ(points.size(), 40U);
}

TEST(Figures, EveryInkHasAColourOfItsOwn) {
  for (const Page page : {Page::light, Page::dark}) {
    const std::string rules = ink_rules(page);
    std::set<std::string> colours;
    for (int i = 0; i < 10; ++i) {
      const std::string rule = fmt::format("svg .s{}{{color:", i);
      ASSERT_NE(rules.find(rule), std::string::npos) << rule;
      colours.insert(rules.substr(rules.find(rule) + rule.size(), 7));
    }
    EXPECT_EQ(colours.size(), 10U);
  }
}

TEST(Machine, LeavesOutWhatIsNotKnownAndSaysWhatBackendsSay) {
  Json json = sample_comparison();
  json["environment"]["gpu"] = {{"name", "Example GPU"}, {"driver", nullptr}};
  json["environment"]["gpu_reason"] = nullptr;
  json["environment"]["libraries"] = {{"eigen", "Example CPU"}};
  std::string page = html_page(comparison_of(json));
  const std::string machine = page.substr(page.find("<section id=\"environment\""), 4000);
  EXPECT_EQ(machine.find("unknown"), std::string::npos) << machine;
  EXPECT_EQ(machine.find("reason"), std::string::npos) << machine;
  EXPECT_EQ(machine.find("libraries"), std::string::npos) << machine;
  expect_in(machine, "<dt>eigen runs on</dt><dd>Example CPU</dd>");
  json["environment"]["gpu"] = nullptr;
  json["environment"]["gpu_reason"] = "there is no driver";
  expect_in(html_page(comparison_of(json)), "<dt>no GPU</dt><dd>there is no driver</dd>");
}

}  // namespace
}  // namespace fovea::report
