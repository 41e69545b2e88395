// Devices that record: what is kept is not run, and a replay gives the bits of the steps one by one.
#include <gtest/gtest.h>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

class RecordingTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string absent_because;
    backend_ = open_or_say_why_not(GetParam(), absent_because);
    if (!backend_) GTEST_SKIP() << absent_because;
    stream_ = device().make_stream();
  }
  Device& device() { return backend_->device(); }
  std::vector<float> read(const Memory& memory) {
    std::vector<float> values(memory.bytes() / sizeof(float));
    device().download(values.data(), memory.data(), memory.bytes(), *stream_);
    stream_->synchronize();
    return values;
  }
  std::unique_ptr<Memory> memory_of(const std::vector<float>& values) {
    std::unique_ptr<Memory> memory = device().allocate(values.size() * sizeof(float));
    device().upload(memory->data(), values.data(), memory->bytes(), *stream_);
    return memory;
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Stream> stream_;
};

TEST_P(RecordingTest, ReplaysWithWhatTheMemoryHoldsThen) {
  const std::unique_ptr<Memory> x = memory_of({-1, 2, -3, 4, 5}), y = memory_of({7, 7, 7, 7, 7});
  const KernelPtr relu = backend_->make(ActivationForward{Activation::relu, 5, {}}, {});
  relu->bind({{{x->data(), DType::f32, {5}}}, {{y->data(), DType::f32, {5}}}}, nullptr);
  int called = 0;
  const std::unique_ptr<Recording> recording = device().record(*stream_, [&] {
    ++called;
    relu->run(*stream_);
    device().fill(x->data(), std::byte{0}, sizeof(float), *stream_);
  });
  if (!recording) {  // the host
    EXPECT_EQ(called, 0);
    return;
  }
  EXPECT_EQ(called, 1);
  EXPECT_EQ(recording->steps(), 2u);
  EXPECT_EQ(read(*y), (std::vector<float>{7, 7, 7, 7, 7})) << "recording runs nothing";
  recording->replay(*stream_);
  EXPECT_EQ(read(*y), (std::vector<float>{0, 2, 0, 4, 5}));
  EXPECT_EQ(read(*x), (std::vector<float>{0, 2, -3, 4, 5}));
  for (float i = 0; i < 100; ++i) {
    device().upload(x->data(), &i, sizeof(float), *stream_);
    recording->replay(*stream_);
  }
  EXPECT_EQ(read(*y), (std::vector<float>{99, 2, 0, 4, 5}));
}

TEST_P(RecordingTest, WhatIsUploadedMayBeOverwrittenAtOnce) {
  constexpr size_t small = 1000, kept_bytes = 4096, floats = kept_bytes / sizeof(float);  // more uploads than are under way at once
  const std::unique_ptr<Memory> work = device().allocate(size_t{64} << 20), x = device().allocate(small * sizeof(float)),
                                y = device().allocate(3 * floats * sizeof(float));
  for (int i = 0; i < (is_on_gpu(GetParam()) ? 100 : 1); ++i)
    device().fill(work->data(), std::byte{1}, work->bytes(), *stream_);  // the device is behind
  float value = 0;
  for (size_t i = 0; i < small; ++i) {
    value = static_cast<float>(i);
    device().upload(static_cast<float*>(x->data()) + i, &value, sizeof value, *stream_);
  }
  std::vector<float> values(floats + 1);
  size_t first = 0;
  for (const size_t count : {floats - 1, floats, floats + 1}) {  // on both sides of where uploads wait for the device
    std::fill(values.begin(), values.end(), static_cast<float>(count));
    device().upload(static_cast<float*>(y->data()) + first, values.data(), count * sizeof(float), *stream_);
    first += count;
  }
  value = -1;
  std::fill(values.begin(), values.end(), -1.0f);
  const std::vector<float> uploaded = read(*x), large = read(*y);
  for (size_t i = 0; i < small; ++i) ASSERT_EQ(uploaded[i], static_cast<float>(i));
  first = 0;
  for (const size_t count : {floats - 1, floats, floats + 1})
    for (size_t i = 0; i < count; ++i, ++first) ASSERT_EQ(large[first], static_cast<float>(count)) << first;
}

TEST_P(RecordingTest, RefusesAnUploadAndGoesOnAfterwards) {
  const std::unique_ptr<Memory> x = memory_of({1, 2});
  const float value = 3;
  bool can_record = false;
  const auto record = [&] {
    can_record = device().record(*stream_, [&] { device().upload(x->data(), &value, sizeof value, *stream_); }) != nullptr;
  };
  if (is_on_gpu(GetParam()))
    EXPECT_THROW(record(), Error);
  else
    record();
  EXPECT_FALSE(can_record);
  EXPECT_EQ(read(*x), (std::vector<float>{1, 2}));
}

TEST_P(RecordingTest, MemoryIsCounted) {
  const MemoryStatus before = device().memory_status();
  const std::unique_ptr<Memory> memory = device().allocate(64 << 20);
  device().fill(memory->data(), std::byte{1}, memory->bytes(), *stream_);
  stream_->synchronize();
  const MemoryStatus after = device().memory_status();
  EXPECT_EQ(after.allocations, before.allocations + 1);
  EXPECT_EQ(after.total, before.total);
  EXPECT_LE(after.free, after.total);
}

TEST_P(RecordingTest, LargeTransfersKeepTheirBytes) {
  std::vector<float> values(3'000'001);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 9973);
  const std::unique_ptr<Memory> resident = device().resident(std::as_bytes(std::span(values)), *stream_);
  EXPECT_EQ(read(*resident), values);
  EXPECT_EQ(read(*memory_of(values)), values);
}

INSTANTIATE_TEST_SUITE_P(Backends, RecordingTest, testing::ValuesIn(backend_names()),
                         [](const auto& info) { return test_name(info.param); });

}  // namespace
}  // namespace fovea::test
