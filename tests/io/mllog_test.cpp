// Lines of MLPerf's form.
#include "fovea/io/mllog.h"

#include <gtest/gtest.h>

namespace fovea::io {
namespace {

TEST(MlLog, WritesOneLineOfEachType) {
  EXPECT_EQ(
      mllog_line({MlEvent::Type::point_in_time, "eval_accuracy", 0.5, {{"epoch_num", int64_t{3}}}}, 1500),
      R"(:::MLLOG {"namespace":"","time_ms":1500,"event_type":"POINT_IN_TIME","key":"eval_accuracy","value":0.5,"metadata":{"epoch_num":3}})");
  EXPECT_EQ(mllog_line({MlEvent::Type::interval_start, "run_start", {}, {}}, 0),
            R"(:::MLLOG {"namespace":"","time_ms":0,"event_type":"INTERVAL_START","key":"run_start","value":null,"metadata":{}})");
  EXPECT_EQ(mllog_line({MlEvent::Type::interval_end, "run_stop", std::string("a\n\"b\" \xFF"), {}}, 0),
            ":::MLLOG {\"namespace\":\"\",\"time_ms\":0,\"event_type\":\"INTERVAL_END\",\"key\":\"run_stop\",\"value\":\"a\\n\\\"b\\\" "
            "\xEF\xBF\xBD\",\"metadata\":{}}");
}

}  // namespace
}  // namespace fovea::io
