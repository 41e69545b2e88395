// The table as text, letter by letter.
#include "fovea/report/table.h"

#include "tests/report/run_files.h"

namespace fovea::report {
namespace {

TEST(Grouped, PartsThousands) {
  EXPECT_EQ(grouped(0, 0), "0");
  EXPECT_EQ(grouped(999.4, 0), "999");
  EXPECT_EQ(grouped(999.5, 0), "1,000");
  EXPECT_EQ(grouped(1234567.891, 2), "1,234,567.89");
  EXPECT_EQ(grouped(-123, 0), "-123");
  EXPECT_EQ(grouped(-1234.5, 1), "-1,234.5");
}

TEST(Columns, CountLettersNotBytes) {
  const std::vector<Column> columns = {{"name", Align::left, {"é", "naïve"}}, {"n", Align::right, {"1", "20"}}};
  EXPECT_EQ(columns_text(columns, Style::terminal),
            "name    n\n"
            "─────  ──\n"
            "é       1\n"
            "naïve  20\n");
}

TEST(Columns, EscapeWhatMarkdownWouldTakeForAColumn) {
  EXPECT_EQ(columns_text({{"a|b", Align::left, {"c|d\\"}}}, Style::markdown), "| a\\|b |\n| --- |\n| c\\|d\\\\ |\n");
}

TEST(Table, PutsWhatAllRunsShareIntoItsTitle) {
  const std::vector<RunRecord> runs = {sample_run("reference", 1500.4), sample_run("eigen", 12003.2)};
  EXPECT_EQ(table(runs, Style::terminal),
            "lenet5 on digits (synthetic, seed 1), epochs 5, batch 64, seed 1, a CPU, commit 0123abc\n"
            "\n"
            "backend    threads  images/s  speed-up  seconds  test accuracy\n"
            "─────────  ───────  ────────  ────────  ───────  ─────────────\n"
            "reference        1     1,500      1.00    199.9        98.77 %\n"
            "eigen            1    12,003      8.00     25.0        98.77 %\n");
}

TEST(Table, IsMarkdownWhereAsked) {
  const std::vector<RunRecord> runs = {sample_run("reference", 1500.4), sample_run("eigen", 12003.2)};
  EXPECT_EQ(table(runs, Style::markdown),
            "lenet5 on digits (synthetic, seed 1), epochs 5, batch 64, seed 1, a CPU, commit 0123abc\n"
            "\n"
            "| backend | threads | images/s | speed-up | seconds | test accuracy |\n"
            "| --- | ---: | ---: | ---: | ---: | ---: |\n"
            "| reference | 1 | 1,500 | 1.00 | 199.9 | 98.77 % |\n"
            "| eigen | 1 | 12,003 | 8.00 | 25.0 | 98.77 % |\n");
}

TEST(Table, GivesAColumnToWhateverDiffers) {
  std::vector<RunRecord> runs = {sample_run("eigen", 12003.2), sample_run("eigen", 900.6)};
  runs[1].model = "cifar_cnn";
  runs[1].data = "random pixels (synthetic, 32 x 32 x 3, 10 classes)";
  runs[1].seed = 2;
  EXPECT_EQ(table(runs, Style::terminal),
            "epochs 5, batch 64, a CPU, commit 0123abc\n"
            "\n"
            "model      data                                                seed  backend  threads  images/s  seconds  test accuracy\n"
            "─────────  ──────────────────────────────────────────────────  ────  ───────  ───────  ────────  ───────  ─────────────\n"
            "lenet5     digits (synthetic, seed 1)                             1  eigen          1    12,003     25.0        98.77 %\n"
            "cifar_cnn  random pixels (synthetic, 32 x 32 x 3, 10 classes)     2  eigen          1       901    333.1        98.77 %\n");
}

TEST(Table, ComparesSpeedsOnlyOfTheSameWork) {
  std::vector<RunRecord> runs = {sample_run("reference", 1500), sample_run("eigen", 12000)};
  EXPECT_NE(table(runs, Style::terminal).find("speed-up"), std::string::npos);
  runs[1].batch = 32;
  EXPECT_EQ(table(runs, Style::terminal).find("speed-up"), std::string::npos);
  runs = {sample_run("eigen", 1500), sample_run("eigen", 1600)};
  EXPECT_EQ(table(runs, Style::terminal).find("speed-up"), std::string::npos);
  runs[1].threads = 4;
  EXPECT_NE(table(runs, Style::terminal).find("speed-up"), std::string::npos);
}

TEST(Table, OfOneRunIsARow) {
  const std::vector<RunRecord> runs = {sample_run("eigen", 12000)};
  EXPECT_EQ(table(runs, Style::terminal),
            "lenet5 on digits (synthetic, seed 1), epochs 5, batch 64, seed 1, a CPU, commit 0123abc\n"
            "\n"
            "backend  threads  images/s  seconds  test accuracy\n"
            "───────  ───────  ────────  ───────  ─────────────\n"
            "eigen          1    12,000     25.0        98.77 %\n");
}

}  // namespace
}  // namespace fovea::report
