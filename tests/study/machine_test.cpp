// Roofs are there, are plausible, are measured once, and say which of them binds. No time is asserted: the machine may be busy.
#include "fovea/study/machine.h"

#include <gtest/gtest.h>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/registry.h"
#include "fovea/base/error.h"

namespace fovea::study {
namespace {

TEST(Machine, HasRoofsForAnyBackendOfTheProcessor) {
  for (const char* name : {"openmp", "eigen"}) {
    const std::unique_ptr<Backend> backend = open_backend(name);
    Machine machine(*backend);
    EXPECT_EQ(machine.device(), backend->device().name());
    for (const int threads : {1, 2}) {
      EXPECT_GT(machine.flops(threads), 1e8);
      EXPECT_LT(machine.flops(threads), 1e13);
    }
    for (const Load::Kind kind : {Load::Kind::read, Load::Kind::triad})
      for (const int64_t working_set : {int64_t{1}, int64_t{1} << 16, machine.beyond_caches()}) {
        EXPECT_GT(machine.bandwidth(kind, 1, working_set), 1e7);
        EXPECT_LT(machine.bandwidth(kind, 1, working_set), 1e13);
      }
  }
}

TEST(Machine, MeasuresEachRoofOnce) {
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  Machine machine(*backend);
  EXPECT_EQ(machine.flops(1), machine.flops(1));
  EXPECT_EQ(machine.bandwidth(1, 100'000), machine.bandwidth(1, 70'000)) << "both are held against 65,536 bytes";
  EXPECT_EQ(machine.bandwidth(1, int64_t{1} << 50), machine.bandwidth(1, machine.beyond_caches()));
}

TEST(Machine, WhatHasNoProductsOfItsOwnHasTheRoofOfFloats) {
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  Machine machine(*backend);
  EXPECT_FALSE(machine.has_products(graph::fp32));
  EXPECT_FALSE(machine.has_products(graph::fp16));
  EXPECT_EQ(machine.flops(1, graph::fp16), machine.flops(1));
  EXPECT_EQ(machine.roof_of(1, graph::fp16), graph::fp32);
  EXPECT_EQ(machine.roof_of(1, graph::bf16) == graph::bf16, machine.flops(1, graph::bf16) != machine.flops(1));
  EXPECT_LT(machine.flops(1, graph::bf16), 1e14);
  const Work work = {.flops = 1e15, .bytes = 1, .working_set = 1 << 16};
  EXPECT_DOUBLE_EQ(machine.bound(work, 1, graph::bf16).seconds, 1e15 / machine.flops(1, graph::bf16));
}

TEST(Machine, TheSlowerPartBinds) {
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  Machine machine(*backend);
  const Bound arithmetic = machine.bound({.flops = 1e15, .bytes = 1, .working_set = 1 << 16}, 1);
  EXPECT_EQ(arithmetic.binding, Binding::arithmetic);
  EXPECT_DOUBLE_EQ(arithmetic.seconds, 1e15 / machine.flops(1));
  const Bound memory = machine.bound({.flops = 1, .bytes = 1e15, .working_set = 1 << 16}, 1);
  EXPECT_EQ(memory.binding, Binding::memory);
  EXPECT_DOUBLE_EQ(memory.seconds, 1e15 / machine.bandwidth(1, 1 << 16));
  EXPECT_EQ(machine.bound({.flops = 0, .bytes = 8, .working_set = 8}, 1).binding, Binding::memory);
}

// The host under another name, which no backend can measure.
class OtherDevice final : public Device {
 public:
  std::string name() const override { return "another device"; }
  std::string platform() const override { return "another"; }
  std::unique_ptr<Stream> make_stream() override { return host_->make_stream(); }
  std::unique_ptr<Memory> allocate(size_t bytes) override { return host_->allocate(bytes); }
  std::unique_ptr<Memory> resident(std::span<const std::byte> host, Stream& stream) override { return host_->resident(host, stream); }
  void upload(void* to, const void* from, size_t bytes, Stream& stream) override { host_->upload(to, from, bytes, stream); }
  void download(void* to, const void* from, size_t bytes, Stream& stream) override { host_->download(to, from, bytes, stream); }
  void fill(void* to, std::byte value, size_t bytes, Stream& stream) override { host_->fill(to, value, bytes, stream); }
  MemoryStatus memory_status() const override { return host_->memory_status(); }

 private:
  std::unique_ptr<Device> host_ = make_host_device();
};
class OtherBackend final : public eigen::EigenBackend {
 public:
  Device& device() override { return device_; }

 private:
  OtherDevice device_;
};

TEST(Machine, ThatNobodyCanMeasureIsNamed) {
  OtherBackend backend;
  try {
    const Machine machine(backend);
    FAIL() << machine.device();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::device);
    EXPECT_NE(error.message().find("another device"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace fovea::study
