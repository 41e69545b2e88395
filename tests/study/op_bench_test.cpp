// Every case of the table can be measured, on data that can be; copies, counts and work are what they are said to be.
#include "fovea/study/op_bench.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/backend/registry.h"
#include "fovea/graph/work.h"
#include "fovea/study/case_buffers.h"
#include "fovea/study/problem.h"

namespace fovea::study {
namespace {

TEST(OpBench, MeasuresEveryOperatorOfTheTable) {
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  std::vector<std::string> seen;
  for (const OpCase& one : op_cases()) {
    if (std::find(seen.begin(), seen.end(), name_of(one.op)) != seen.end()) continue;
    seen.emplace_back(name_of(one.op));
    SCOPED_TRACE(one.name);
    const OpSpeed speed = measure(*backend, one, {.threads = 2, .seconds = 1e-4});
    EXPECT_GE(speed.seconds.size(), 3u);
    EXPECT_TRUE(std::all_of(speed.seconds.begin(), speed.seconds.end(), [](double seconds) { return seconds > 0; }));
    EXPECT_EQ(speed.flops, 2.0 * static_cast<double>(macs_of(one.op)));
    EXPECT_EQ(speed.bytes, static_cast<double>(graph::bytes_of(one.op)));
    EXPECT_EQ(speed.copies, 1);
    EXPECT_FALSE(speed.algorithm.empty());
    EXPECT_GE(speed.runs_per_value, 1);
    EXPECT_EQ(speed.how, "called");
  }
  EXPECT_GT(seen.size(), 25u);
}

TEST(OpBench, ColdCachesAreFilledWithCopies) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  const OpCase relu = {.name = "relu", .op = ActivationForward{Activation::relu, 1000, {}}};
  const OpSpeed hot = measure(*backend, relu, {.seconds = 1e-4});
  EXPECT_EQ(hot.working_set, 8000);
  const OpSpeed cold = measure(*backend, relu, {.seconds = 1e-4, .caches = Caches::cold, .last_level_cache = 1 << 18});
  EXPECT_EQ(cold.copies, 66);
  EXPECT_GE(cold.working_set, 2 << 18);
  const OpSpeed tiny = measure(*backend, {.name = "relu", .op = ActivationForward{}},
                               {.seconds = 1e-4, .caches = Caches::cold, .last_level_cache = 1 << 30});
  EXPECT_EQ(tiny.copies, most_copies);
  EXPECT_EQ(tiny.working_set, 8 * most_copies) << "as cold as so many copies make it, and it says so";
}

class CaseBuffersTest : public testing::Test {
 protected:
  CaseBuffersTest() : backend_(open_backend("eigen")), stream_(backend_->device().make_stream()) {}
  CaseBuffers place(const Op& op) {
    op_case_.op = op;
    const KernelPtr kernel = make(*backend_, op, {});
    return {*backend_, op_case_, *kernel, *stream_};
  }
  OpCase op_case_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Stream> stream_;
};

TEST_F(CaseBuffersTest, LabelsAreInRange) {
  const CaseBuffers buffers = place(SoftmaxCrossEntropyForward{.n = 1000, .k = 3, .types = {}});
  const std::span<int32_t> labels = buffers.buffers().in[1].as<int32_t>();
  EXPECT_EQ(*std::min_element(labels.begin(), labels.end()), 0);
  EXPECT_EQ(*std::max_element(labels.begin(), labels.end()), 2);
}

TEST_F(CaseBuffersTest, PlacesOfAMaximumLieInsideTheImage) {
  const Window padded = {.r = 3, .s = 3, .stride_h = 2, .stride_w = 2, .pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1};
  const PoolShape shape = {.n = 2, .h = 8, .w = 8, .c = 16, .window = padded};
  const CaseBuffers buffers = place(MaxPoolBackward{shape, {}, {}});
  const std::span<uint8_t> places = buffers.buffers().in[1].as<uint8_t>();
  ASSERT_EQ(std::ssize(places), shape.y().elements());
  for (int64_t i = 0; i < std::ssize(places); ++i) {
    const int64_t q = i / shape.c % shape.q(), p = i / shape.c / shape.q() % shape.p(), place = places[static_cast<size_t>(i)];
    ASSERT_LT(place, 9);
    ASSERT_GE(2 * p - 1 + place / 3, 0);
    ASSERT_GE(2 * q - 1 + place % 3, 0);
  }
}

TEST_F(CaseBuffersTest, VariancesArePositiveAndBytesAreCounted) {
  const CaseBuffers buffers = place(BatchNormInference{.rows = 10, .c = 300, .types = {}});
  for (const float variance : buffers.buffers().in[4].as<float>()) EXPECT_GT(variance, 0);
  EXPECT_EQ(buffers.bytes(), graph::bytes_of(op_case_.op));
}

TEST_F(CaseBuffersTest, LargeTensorsAreFilledToTheEnd) {
  const int64_t elements = (1 << 20) + 17;
  const CaseBuffers buffers = place(ActivationForward{Activation::relu, elements, {}});
  const std::span<float> x = buffers.buffers().in[0].as<float>();
  EXPECT_EQ(x[static_cast<size_t>(elements) - 17], x[0]);
  EXPECT_EQ(x[static_cast<size_t>(elements) - 1], x[16]);
  EXPECT_NE(x[0], x[16]);
}

}  // namespace
}  // namespace fovea::study
