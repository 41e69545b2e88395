// What `cudnn` chooses. Needs a GPU with cuDNN; elsewhere each test says why it is skipped.
#include <gtest/gtest.h>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

class CudnnBackend : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string absent_because;
    backend_ = open_or_say_why_not("cudnn", absent_because);
    if (!backend_) GTEST_SKIP() << absent_because;
  }
  Conv2dForward conv2d() const {
    Conv2dShape shape{.n = 4, .h = 14, .w = 14, .c = 32, .k = 64, .window = {}};
    shape.window = {.r = 3, .s = 3, .pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1};
    return std::get<Conv2dForward>(graph::in_precision(Conv2dForward{shape, {}}, *graph::precision_named(GetParam())));
  }
  std::string problem() const { return "cudnn conv2d_forward " + GetParam() + " n4 h14 w14 c32 k64 3x3 s1 p1"; }

  std::unique_ptr<Backend> backend_;
};

TEST_P(CudnnBackend, KeepsWhatItMeasuredAndRebuildsIt) {
  Tuning tuning("this test");
  const std::string taken = backend_->make(conv2d(), {.tuning = &tuning})->algorithm();
  ASSERT_NE(tuning.find(problem()), nullptr) << tuning.choices().begin()->first;
  const Tuning::Choice kept = *tuning.find(problem());
  EXPECT_EQ(kept.taken, taken);
  EXPECT_GT(kept.microseconds, 0);
  std::cout << "[   choice ] " << taken << ", " << kept.microseconds << " us; not " << kept.rejected << ", " << kept.rejected_microseconds
            << " us\n";
  if (!kept.rejected.empty()) {
    EXPECT_LE(kept.microseconds, kept.rejected_microseconds);
    EXPECT_NE(kept.rejected, taken);
  }

  const Tuning before = tuning;
  const std::unique_ptr<Backend> other = open_backend("cudnn");
  EXPECT_EQ(other->make(conv2d(), {.tuning = &tuning})->algorithm(), taken);
  if (!kept.rejected.empty()) {  // what is kept decides, not what is fast
    tuning.keep(problem(), {kept.rejected, 1, taken, 2});
    EXPECT_EQ(other->make(conv2d(), {.tuning = &tuning})->algorithm(), kept.rejected);
    tuning.keep(problem(), kept);
  }
  EXPECT_EQ(tuning, before) << "nothing is measured twice";
}

TEST_P(CudnnBackend, RefusesAnEngineThatIsNotOffered) {
  Tuning tuning;
  tuning.keep(problem(), {"cuDNN engine 4711", 1, "", 0});
  try {
    backend_->make(conv2d(), {.tuning = &tuning});
    FAIL() << "there is no such engine";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("engine 4711"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(problem()), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, CudnnBackend, testing::Values("fp32", "tf32", "bf16", "fp16"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace fovea::test
