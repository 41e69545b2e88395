// Pictures: every series is there, inside the picture, and said in words; what to draw is taken from the records.
#include "fovea/report/plot.h"

#include <regex>

#include "fovea/report/series.h"
#include "tests/report/run_files.h"

namespace fovea::report {
namespace {

const std::vector<Curve> curves = {{"lenet5", "validation", {0.9, 0.95, 0.97}}, {"mlp & <co>", "training", {0.5, 0.25}}};
const std::vector<BarGroup> groups = {{"lenet5, batch 64", {{"eigen", 12000}, {"reference", 300}}}, {"mlp, batch 64", {{"eigen", 5}}}};

size_t count(const std::string& text, std::string_view part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

double number_after(const std::string& text, const std::string& attribute, size_t from = 0) {
  return std::stod(text.substr(text.find(attribute + "=\"", from) + attribute.size() + 2));
}

void expect_all_inside(const std::string& picture) {
  const double width = number_after(picture, "width"), height = number_after(picture, "height");
  const std::regex place(R"re((c?[xy])="(-?[0-9.]+)")re");
  for (std::sregex_iterator at(picture.begin(), picture.end(), place), end; at != end; ++at) {
    const double value = std::stod((*at)[2]);
    EXPECT_GE(value, 0) << at->str();
    EXPECT_LE(value, (*at)[1].str().ends_with('x') ? width : height) << at->str();
  }
}

TEST(Plot, ShowsEveryCurveWithItsLastValue) {
  const std::string picture = plot(curves, {}, "");
  EXPECT_EQ(count(picture, "<circle"), 5U);
  EXPECT_NE(picture.find(">lenet5<"), std::string::npos);
  EXPECT_NE(picture.find(">97.0 % validation<"), std::string::npos);
  EXPECT_NE(picture.find(">mlp &amp; &lt;co&gt;<"), std::string::npos);
  EXPECT_NE(picture.find(">25.0 % training<"), std::string::npos);
  EXPECT_EQ(picture.find("images per second"), std::string::npos);
  expect_all_inside(picture);
}

TEST(Plot, DrawsBetterAccuracyHigher) {
  const std::string picture = plot({curves.data(), 1}, {}, "");
  std::vector<double> heights;
  for (size_t at = picture.find("<circle"); at != std::string::npos; at = picture.find("<circle", at + 1))
    heights.push_back(number_after(picture, "cy", at));
  ASSERT_EQ(heights.size(), 3U);
  EXPECT_GT(heights[0], heights[1]);
  EXPECT_GT(heights[1], heights[2]);
}

TEST(Plot, DrawsBarsAsLongAsTheirValuesWithinAGroup) {
  const std::string picture = plot({}, groups, "");
  std::vector<double> widths;
  for (size_t at = picture.find(" rx=\"3\""); at != std::string::npos; at = picture.find(" rx=\"3\"", at + 1))
    widths.push_back(number_after(picture, "width", picture.rfind("<rect", at)));
  ASSERT_EQ(widths.size(), 3U);
  EXPECT_NEAR(widths[1] / widths[0], 300.0 / 12000, 1e-3);
  EXPECT_EQ(widths[2], widths[0]);
  EXPECT_NE(picture.find(">12,000<"), std::string::npos);
  EXPECT_NE(picture.find("images per second<"), std::string::npos);
  EXPECT_EQ(picture.find(">epoch<"), std::string::npos);
  expect_all_inside(picture);
}

TEST(Plot, GivesALabelOneColourInEveryGroup) {
  const std::string picture = plot({}, groups, "");
  EXPECT_EQ(count(picture, "<rect class=\"s0\""), 2U);
  EXPECT_EQ(count(picture, "<rect class=\"s1\""), 1U);
}

TEST(Plot, HasColoursForDarkPages) {
  const std::string picture = plot(curves, groups, "small print");
  EXPECT_EQ(count(picture, "@media(prefers-color-scheme:dark)"), 1U);
  EXPECT_EQ(count(picture, ".s0{color:"), 2U);
  EXPECT_NE(picture.find(">small print<"), std::string::npos);
  expect_all_inside(picture);
}

TEST(Plot, StaysInsideWhereThereIsLittleOrMuchToShow) {
  const std::vector<Curve> one = {{"one", "training", {1}}, {"none", "training", {0}}, {"none again", "training", {0}}};
  expect_all_inside(plot(one, {}, ""));
  for (size_t i = 0; i < one.size(); ++i) expect_all_inside(plot({&one[i], 1}, {}, ""));
  std::vector<Curve> many(8, {"the same everywhere", "training", std::vector<double>(1000, 0.991)});
  expect_all_inside(plot(many, {}, ""));
  expect_all_inside(plot(many, std::vector<BarGroup>(9, groups[0]), "small print"));
}

WholeRun sample(const std::string& backend, const std::string& data) {
  WholeRun run{sample_run(backend, 1000), {{1, 0.5, 0.75}, {2, 0.625, 0.875}}};
  run.record.data = data;
  return run;
}

TEST(Series, LabelsCurvesByWhatDiffers) {
  std::vector<WholeRun> runs = {sample("eigen", "mnist (a/folder)"), sample("reference", "mnist (a/folder)")};
  EXPECT_EQ(curves_of(runs)[0].label, "eigen");
  EXPECT_EQ(curves_of(runs)[1].label, "reference");
  runs[1].record.backend = "eigen";
  runs[1].record.seed = 2;
  EXPECT_EQ(curves_of(runs)[1].label, "seed 2");
  runs[1].record.model = "mlp";
  EXPECT_EQ(curves_of(runs)[0].label, "lenet5 on mnist");
  EXPECT_EQ(curves_of(runs)[1].label, "mlp on mnist");
  EXPECT_EQ(curves_of({runs.data(), 1})[0].label, "lenet5 on mnist");
}

TEST(Series, NeverHidesThatDataIsSynthetic) {
  const WholeRun run = sample("eigen", "digits (synthetic, seed 1)");
  EXPECT_EQ(curves_of({&run, 1})[0].label, "lenet5 on digits (synthetic)");
}

TEST(Series, TakesValidationAccuracyWhereThereIsOne) {
  WholeRun run = sample("eigen", "mnist");
  EXPECT_EQ(curves_of({&run, 1})[0].accuracy, (std::vector<double>{0.75, 0.875}));
  EXPECT_EQ(curves_of({&run, 1})[0].images, "validation");
  for (HistoryRow& row : run.history) row.valid_accuracy.reset();
  EXPECT_EQ(curves_of({&run, 1})[0].accuracy, (std::vector<double>{0.5, 0.625}));
  EXPECT_EQ(curves_of({&run, 1})[0].images, "training");
}

TEST(Series, GroupsTheSpeedsOfRunsByWork) {
  std::vector<WholeRun> runs = {sample("eigen", "mnist"), sample("reference", "mnist"), sample("eigen", "mnist")};
  runs[2].record.batch = 1024;
  const std::vector<BarGroup> found = bars_of(std::span<const WholeRun>(runs));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].title, "lenet5, batch 64");
  ASSERT_EQ(found[0].bars.size(), 2U);
  EXPECT_EQ(found[0].bars[1].label, "reference, 1 thread");
  EXPECT_EQ(found[1].title, "lenet5, batch 1,024");
}

TEST(Series, TakesTheLastSpeedOfAWorkOnAMachine) {
  const Measurement first = {"CPU A", "c1", "lenet5", 64, 1, {{"fovea", 10}, {"PyTorch", 5}}};
  Measurement again = first, elsewhere = first;
  again.medians[0].second = 20;
  elsewhere.cpu = "CPU B";
  std::vector<Measurement> speeds = {first, again};
  std::vector<BarGroup> found = bars_of(std::span<const Measurement>(speeds));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].title, "lenet5, batch 64, 1 thread");
  EXPECT_EQ(found[0].bars[0].images_per_second, 20);
  speeds.push_back(elsewhere);
  found = bars_of(std::span<const Measurement>(speeds));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[1].title, "lenet5, batch 64, 1 thread, CPU B");
  EXPECT_EQ(origin_of({}, speeds), "CPU A · CPU B · commit c1");
}

}  // namespace
}  // namespace fovea::report
