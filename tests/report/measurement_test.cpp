// A record that is written here is one that others read: it has every key, and as many digits as mean something.
#include "fovea/report/measurement.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/report/record.h"
#include "tests/data/data_folder.h"

namespace fovea::report {
namespace {

using nlohmann::json;

NewMeasurement some() {
  return {"op/lenet5-b64/conv1/conv2d_forward/eigen-1threads",
          "us",
          "fovea eigen",
          {3.0, 1.23456789, 2.0},
          {{"case", "conv1"}, {"threads", int64_t{4}}, {"flops_per_second", 1234567.89}},
          "a device"};
}

TEST(Measurement, HasEveryKeyOfARecord) {
  const json line = json::parse(line_of(some()));
  for (const char* key :
       {"schema_version", "experiment", "unit", "median", "runs", "configuration", "machine", "versions", "commit", "date"})
    EXPECT_TRUE(line.contains(key)) << key;
  EXPECT_EQ(line["median"], json({{"fovea eigen", 2.0}}));
  EXPECT_EQ(line["runs"]["fovea eigen"], json({3.0, 1.23457, 2.0}));
  EXPECT_EQ(line["configuration"], json({{"case", "conv1"}, {"threads", 4}, {"flops_per_second", 1234570.0}}));
  EXPECT_EQ(line["machine"]["device"], "a device");
  EXPECT_GT(line["machine"]["cores"], 0);
  EXPECT_EQ(line["date"].get<std::string>().size(), 10u);
}

TEST(Measurement, LinesAreAppendedAndReadAgain) {
  const data::DataFolder folder;
  const std::filesystem::path file = folder.path() / "speed.jsonl";
  append_line(file, line_of(some()));
  append_line(file, line_of(some()));
  const std::string text = read_file(file);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_TRUE(read_speeds(file).empty()) << "records of another unit than images/s are passed over";
  try {
    append_line(folder.path() / "absent" / "speed.jsonl", "{}");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(error.message().find("absent"), std::string::npos);
  }
}

}  // namespace
}  // namespace fovea::report
