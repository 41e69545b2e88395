// The files of a report: whole, with every figure, for any names and for whatever is missing.
#include "fovea/report/report.h"

#include <fmt/format.h>

#include <map>

#include "fovea/report/figures.h"
#include "fovea/report/html.h"
#include "tests/report/comparison_file.h"

namespace fovea::report {
namespace {

using Json = nlohmann::ordered_json;

const std::vector<std::string> figure_ids = {"speedup", "loss-epoch", "loss-time",   "accuracy-epoch", "accuracy-time",
                                             "threads", "batch",      "host-memory", "device-memory",  "cpu",
                                             "gpu",     "power",      "energy",      "confusion"};

size_t count(const std::string& text, std::string_view part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// Every element is closed, in its order, and no id comes twice.
void expect_whole(const std::string& page) {
  std::vector<std::string> open;
  std::map<std::string, int> ids;
  for (size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    const size_t end = page.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = page.substr(at + 1, end - at - 1);
    if (const size_t id = tag.find(" id=\""); id != std::string::npos) ++ids[tag.substr(id + 5, tag.find('"', id + 5) - id - 5)];
    if (tag.starts_with('!') || tag.starts_with("meta") || tag.starts_with("link") || tag.ends_with('/')) continue;
    if (!tag.starts_with('/')) {
      open.push_back(tag.substr(0, tag.find(' ')));
      continue;
    }
    ASSERT_FALSE(open.empty()) << tag;
    ASSERT_EQ(open.back(), tag.substr(1)) << page.substr(at > 200 ? at - 200 : 0, 300);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
  for (const auto& [id, times] : ids) EXPECT_EQ(times, 1) << id;
}

void expect_every_figure(const std::string& page) {
  for (const std::string& id : figure_ids) EXPECT_EQ(count(page, "<figure id=\"figure-" + id + "\""), 1U) << id;
  EXPECT_EQ(count(page, "<figure "), figure_ids.size());
  EXPECT_EQ(count(page, "role=\"img\"") + count(page, "<p class=\"absent\">not measured: "), figure_ids.size());
  EXPECT_EQ(count(page, "nan"), 0U);
  EXPECT_EQ(count(page, "\"inf"), 0U);
}

std::string page_of(const Json& json) {
  std::string page = html_page(comparison_of(json));
  expect_whole(page);
  expect_every_figure(page);
  return page;
}

TEST(Report, HasAnswersTableFiguresNotesMachineAndSources) {
  const std::string page = page_of(sample_comparison());
  for (const char* id : {"answer", "table", "figures", "notes", "question", "environment", "sources"})
    EXPECT_EQ(count(page, fmt::format("<section id=\"{}\"", id)), 1U) << id;
  EXPECT_EQ(count(page, "<p class=\"absent\">"), 2U) << "device memory and GPU utilisation alone";
  EXPECT_NE(page.find("openmp, 2 threads, batch 256 is the fastest"), std::string::npos);
  EXPECT_NE(page.find("digits stand in for MNIST"), std::string::npos);
  EXPECT_NE(page.find("8.00 GiB"), std::string::npos);
  EXPECT_NE(page.find("by bootstrap over the rounds"), std::string::npos);
  EXPECT_NE(page.find("refused: needs 19.5 GiB"), std::string::npos);
  EXPECT_NE(page.find("<span>--out</span> <span>'runs/my comparison'</span>"), std::string::npos) << "no word is parted";
  EXPECT_NE(page.find("<p>Measured with fovea 0.1.0, commit 0123abc, Example CPU.</p>"), std::string::npos);
}

TEST(Report, NeverHidesWhatStandsIn) {
  Json json = sample_comparison();
  json["notes"] = Json::array();
  json["interrupted"] = true;
  std::string page = page_of(json);
  EXPECT_NE(page.find("The images are synthetic (digits (synthetic, seed 1))"), std::string::npos);
  EXPECT_NE(page.find("cuda is absent: no NVIDIA driver was found"), std::string::npos);
  EXPECT_NE(page.find("was stopped before its end"), std::string::npos);
  json["interrupted"] = false;
  json["question"]["data"] = "cifar10";
  json["rows"].erase(json["rows"].begin() + 5, json["rows"].end());
  page = page_of(json);
  EXPECT_NE(page.find("Not measured, for the reasons below the table: peak device of every row.</li>"), std::string::npos);
  for (Json& row : json["rows"]) row["peak_device_bytes"] = 1e6;
  EXPECT_NE(page_of(json).find("Nothing that is known of: every row ran, and every figure was measured."), std::string::npos);
  json["rows"][1]["providers"] = {{"eigen", 3}, {"openmp", 34}};
  page = page_of(json);
  EXPECT_EQ(count(page, "openmp, 1 thread, batch 64: 34 of 37 steps are openmp's own, 3 are eigen's</li>"), 2U)
      << "below the table, and there";
}

std::string table_of(const std::string& page) {
  const size_t at = page.find("<table class=\"rows\">");
  return page.substr(at, page.find("</table>", at) - at);
}

TEST(Report, EveryRowHasAsManyCellsAsThereAreHeadings) {
  Json json = sample_comparison();
  json["rows"][1]["device"] = "Another CPU";
  json["rows"][2]["energy"] = {{"reason", "no counter"}};
  const std::string table = table_of(page_of(json));
  const size_t headings = count(table, "<th scope=\"col\"");
  EXPECT_EQ(count(table, ">device</th>"), 1U);
  size_t rows = 0;
  for (size_t at = table.find("<tr", table.find("<tbody>")); at != std::string::npos; at = table.find("<tr", at + 1), ++rows) {
    const std::string row = table.substr(at, table.find("</tr>", at) - at);
    const size_t span = row.find("colspan=\"");
    const size_t more = span == std::string::npos ? 0 : std::stoul(row.substr(span + 9)) - 1;
    EXPECT_EQ(count(row, "<th scope=\"row\"") + count(row, "<td") + more, headings) << row;
  }
  EXPECT_EQ(rows, 7U);
  EXPECT_EQ(count(table, "Another CPU"), 1U);
}

// The head of a row is all that is seen of its settings where the table is scrolled.
TEST(Report, HeadsOfRowsTellThemApart) {
  const std::string table = table_of(page_of(sample_comparison()));
  for (const char* label : {"eigen, 1 thread, batch 64", "openmp, 2 threads, batch 256<small>fastest</small>"})
    EXPECT_EQ(count(table, fmt::format("<th scope=\"row\">{}</th>", label)), 1U) << label;
}

TEST(Report, SaysWhyACellIsEmptyWithoutWords) {
  Json json = sample_comparison();
  json["rows"][2]["energy"] = {{"reason", "no counter of energy"}};
  const std::string page = page_of(json), table = table_of(page);
  EXPECT_EQ(count(table, "<td class=\"missing right\"><abbr title=\"not measured: no counter of energy\">–</abbr></td>"), 3U);
  EXPECT_EQ(count(table, "no counter of energy"), 3U);
  EXPECT_EQ(count(page, "no counter of energy"), 5U) << "once below the table, and in the answer";
}

TEST(Report, KeepsNumbersAndPercentSignsTogether) {
  const std::string page = page_of(sample_comparison());
  EXPECT_EQ(count(page, "95 % interval"), 1U) << "in a picture, whose texts are never parted";
  EXPECT_GE(count(page, "95\u00a0% interval"), 5U);
}

TEST(Report, NeedsNothingBesideIt) {
  const std::string page = page_of(sample_comparison());
  for (const char* part : {"http://", "https://", "<script", "src=", "url(", "@import", "onload"}) EXPECT_EQ(count(page, part), 0U) << part;
  EXPECT_EQ(count(page, "<link "), count(page, "href=\"data:,\""));
}

TEST(Report, NamesAUnitOnEveryAxisAndASourceOfEveryFigure) {
  const std::string page = page_of(sample_comparison());
  for (const char* title :
       {">loss (nats per image)<", ">accuracy (%)<", ">training time (s)<", ">epoch<", ">threads<", ">batch (images per step)<",
        ">host memory (MiB)<", ">CPU utilisation (%)<", ">power (W)<", ">time for 1,000 images (s)<", ">net energy for 1,000 images (J)<"})
    EXPECT_GE(count(page, title), 1U) << title;
  EXPECT_EQ(count(page, "<p class=\"source\">Source: "), figure_ids.size() + 7);
}

TEST(Report, KeepsHostileNamesAsText) {
  const std::string evil = "<script>alert(1)</script>\"'&|,\n\x01";
  Json json = sample_comparison();
  json["title"] = evil;
  json["notes"] = {evil};
  json["command"] = {"fovea", evil};
  json["environment"][evil] = evil;
  json["question"]["classes"] = Json::array();
  for (int i = 0; i < 10; ++i) json["question"]["classes"].push_back(evil);
  for (Json& row : json["rows"]) {
    for (const char* key : {"backend", "device", "precision"}) row[key] = evil;
    row["reason"] = row["status"] == "ran" ? Json() : Json(evil);
  }
  const std::string page = page_of(json);
  EXPECT_EQ(count(page, "<script"), 0U);
  EXPECT_EQ(count(page, "\x01"), 0U);
  EXPECT_GE(count(page, "&lt;script&gt;alert(1)&lt;/script&gt;&quot;"), 10U);
}

TEST(Report, StandsWhereNothingWasMeasured) {
  const std::string page = page_of(without_figures(sample_comparison()));
  EXPECT_EQ(count(page, "<p class=\"absent\">"), figure_ids.size());
  EXPECT_EQ(count(page, "role=\"img\""), 0U);
}

TEST(Report, StandsForOneRow) {
  Json json = sample_comparison();
  json["rows"] = Json::array({json["rows"][0]});
  const std::string page = page_of(json);
  EXPECT_NE(page.find("eigen trains 4,200 images/s."), std::string::npos);
}

TEST(Report, StandsForManyRowsAndClasses) {
  Json json = sample_comparison();
  const Json row = json["rows"][2];
  json["rows"] = Json::array();
  for (int i = 0; i < 24; ++i) {
    json["rows"].push_back(row);
    json["rows"].back()["id"] = fmt::format("row-{}", i);
    json["rows"].back()["batch"] = 1 << (i % 12);
    json["rows"].back()["threads"] = i < 12 ? 1 : 64;
    json["rows"].back()["runs"][1]["confusion"] = std::vector<std::vector<int>>(100, std::vector<int>(100, 3));
  }
  page_of(json);
}

TEST(Report, WritesEveryFile) {
  const RunFiles files;
  files.plant("result.json", sample_comparison().dump());
  write_report(files.path());
  for (const char* name :
       {"report.html", "result.csv", "table.md", "tensorboard/openmp-t1-fp32-b64/seed2/events.out.tfevents.1769860800.fovea"})
    EXPECT_TRUE(is_there(files.path() / name)) << name;
  EXPECT_FALSE(is_there(files.path() / "mlperf"));
  const std::string first = read_file(files.path() / "report.html");
  write_report(files.path(), RunLogs::mlperf);
  EXPECT_EQ(read_file(files.path() / "report.html"), first) << "the same record gives the same page";
  EXPECT_TRUE(is_there(files.path() / "mlperf/openmp-t1-fp32-b64-seed2.log"));
}

// The medians of two rows may be of other moments of a machine whose speed changes.
TEST(Report, ScalesByPairsWhereThereAreSome) {
  const auto speedups = [](const Json& json) {
    const std::vector<Figure> figures = scaling_figures(comparison_of(json));
    return figures[0].data[3].cells;
  };
  Json json = sample_comparison();
  json["rows"].erase(json["rows"].begin() + 3, json["rows"].end());
  json["rows"][2]["images_per_second"]["median"] = 30000;
  EXPECT_EQ(speedups(json), (std::vector<std::string>{"1.00", "1.87"})) << "3.524 / 1.881: both were measured against eigen";
  json["rows"].erase(json["rows"].begin());
  for (Json& row : json["rows"]) row["speedup"]["against"] = "openmp-t1-fp32-b64";
  json["rows"][0]["speedup"].update({{"ratio", 1.0}, {"low", nullptr}, {"high", nullptr}, {"verdict", nullptr}});
  json["rows"][1]["speedup"].update({{"ratio", 1.93}, {"low", 1.9}, {"high", 1.96}});
  EXPECT_EQ(speedups(json), (std::vector<std::string>{"1.00", "1.93"})) << "as the table has it";
  for (Json& row : json["rows"]) row["speedup"]["ratio"] = nullptr;
  EXPECT_EQ(speedups(json), (std::vector<std::string>{"1.00", "3.80"})) << "of the medians, where nothing else is known";
}

TEST(Report, WritesNothingOutsideItsFolder) {
  const RunFiles files;
  Json json = sample_comparison();
  for (Json& row : json["rows"]) row["id"] = "../../../outside";
  std::filesystem::create_directories(files.path() / "a/b/c");
  files.plant("a/b/c/result.json", json.dump());
  write_report(files.path() / "a/b/c", RunLogs::mlperf);
  EXPECT_FALSE(is_there(files.path() / "outside"));
  EXPECT_TRUE(is_there(files.path() / "a/b/c/tensorboard/_._.._.._outside/seed1"));
  EXPECT_TRUE(is_there(files.path() / "a/b/c/tensorboard/_._.._.._outside_/seed1")) << "two rows never share a folder";
}

}  // namespace
}  // namespace fovea::report
