// Energy and use out of trees and a library whose figures are known: what is absent is nothing, for a reason, and never 0.
#include "fovea/study/energy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "fovea/study/sampler.h"
#include "tests/data/data_folder.h"

namespace fovea::study {
namespace {

class Powercap {
 public:
  void zone(const std::string& name, const std::string& domain, const std::string& microjoules, const std::string& range = "1000000000") {
    std::filesystem::create_directories(folder_.path() / name);
    folder_.plant(name + "/name", domain + "\n");
    folder_.plant(name + "/energy_uj", microjoules + "\n");
    folder_.plant(name + "/max_energy_range_uj", range + "\n");
  }
  void count(const std::string& name, const std::string& microjoules) { folder_.plant(name + "/energy_uj", microjoules + "\n"); }
  // No user may read it, not even root.
  void lock(const std::string& name) {
    std::filesystem::remove(folder_.path() / name / "energy_uj");
    std::filesystem::create_directories(folder_.path() / name / "energy_uj");
  }
  std::filesystem::path path() const { return folder_.path(); }

 private:
  data::DataFolder folder_;
};

const Nvml& no_gpu() {
  static const Nvml nvml("libthere-is-no-such-library.so");
  return nvml;
}

struct FakeGpu {
  explicit FakeGpu(const char* kind) { ::setenv("FOVEA_FAKE_NVML", kind, 1); }
  ~FakeGpu() { ::unsetenv("FOVEA_FAKE_NVML"); }
};

TEST(Energy, AddsPackagesAndTellsMemoryFromCores) {
  Powercap tree;
  tree.zone("intel-rapl:0", "package-0", "1000000");
  tree.zone("intel-rapl:0:0", "core", "7");
  tree.zone("intel-rapl:0:1", "dram", "500000");
  tree.zone("intel-rapl:1", "package-1", "2000000");
  tree.zone("intel-rapl-mmio:0", "package-0", "1000000");
  EnergyMeter meter(no_gpu(), tree.path());
  EXPECT_EQ(meter.read(0).cpu, 0);
  tree.count("intel-rapl:0", "4000000");
  tree.count("intel-rapl:0:0", "900000000");
  tree.count("intel-rapl:0:1", "700000");
  tree.count("intel-rapl:1", "4500000");
  const Joules joules = meter.read(1);
  EXPECT_DOUBLE_EQ(*joules.cpu, 5.5);
  EXPECT_DOUBLE_EQ(*joules.dram, 0.2);
  EXPECT_FALSE(joules.gpu);
  EXPECT_EQ(meter.method(), "CPU: RAPL counters of 2 packages; DRAM: 1 RAPL counters");
  EXPECT_NE(meter.missing().find("GPU: "), std::string::npos);
}

TEST(Energy, FollowsACounterThatBeginsAnew) {
  Powercap tree;
  tree.zone("intel-rapl:0", "package-0", "99000000", "100000000");
  EnergyMeter meter(no_gpu(), tree.path());
  tree.count("intel-rapl:0", "3000000");
  EXPECT_DOUBLE_EQ(*meter.read(1).cpu, 4);
  tree.count("intel-rapl:0", "50000000");
  EXPECT_DOUBLE_EQ(*meter.read(2).cpu, 51);
  tree.count("intel-rapl:0", "1000000");
  EXPECT_DOUBLE_EQ(*meter.read(3).cpu, 102);
}

TEST(Energy, WhatCannotBeReadIsNothingWithAReasonAndARemedy) {
  Powercap tree;
  tree.zone("intel-rapl:0", "package-0", "1");
  tree.lock("intel-rapl:0");
  EnergyMeter locked(no_gpu(), tree.path());
  EXPECT_FALSE(locked.read(0).cpu);
  EXPECT_FALSE(locked.measures_anything());
  EXPECT_NE(locked.missing().find("sudo chmod a+r"), std::string::npos) << locked.missing();
  EnergyMeter none(no_gpu(), tree.path() / "nowhere");
  EXPECT_FALSE(none.read(0).cpu);
  EXPECT_NE(none.missing().find("intel_rapl_msr"), std::string::npos) << none.missing();
}

TEST(Nvml, ReadsACounterWhereThereIsOne) {
  const FakeGpu kind("counter");
  const Nvml nvml(FOVEA_FAKE_NVML);
  EXPECT_EQ(nvml.absent_because(), "");
  EXPECT_EQ(nvml.name(), "Fake GPU");
  EXPECT_EQ(nvml.driver(), "123.45");
  EXPECT_EQ(nvml.busy_share(), 0.75);
  EXPECT_EQ(nvml.memory()->used, 20'000);
  EnergyMeter meter(nvml, "/nowhere");
  EXPECT_DOUBLE_EQ(*meter.read(0).gpu, 2);  // 2 J more each time that it is asked
  EXPECT_DOUBLE_EQ(*meter.read(1).gpu, 4);
  EXPECT_EQ(meter.method(), "GPU: energy counter of NVML");
}

TEST(Nvml, IntegratesPowerWhereThereIsNoCounter) {
  const FakeGpu kind("power");
  const Nvml nvml(FOVEA_FAKE_NVML);
  EnergyMeter meter(nvml, "/nowhere");
  EXPECT_EQ(meter.read(10).gpu, 0);
  EXPECT_DOUBLE_EQ(*meter.read(12).gpu, 300);
  EXPECT_EQ(meter.method(), "GPU: power of NVML, integrated");
}

TEST(Nvml, AbsenceHasAReason) {
  EXPECT_NE(no_gpu().absent_because().find("driver"), std::string::npos);
  EXPECT_FALSE(no_gpu().watts());
  EXPECT_EQ(no_gpu().name(), "");
  const FakeGpu kind("no driver");
  EXPECT_NE(Nvml(FOVEA_FAKE_NVML).absent_because().find("code 9"), std::string::npos);
  const FakeGpu other("neither");
  const Nvml silent(FOVEA_FAKE_NVML);
  EnergyMeter meter(silent, "/nowhere");
  EXPECT_FALSE(meter.read(0).gpu);
  EXPECT_NE(meter.missing().find("neither its energy nor its power"), std::string::npos);
}

// 10 W of the processor, 100 W of the GPU, one of two processors busy with this process.
std::vector<Moment> ten_seconds() {
  std::vector<Moment> moments;
  for (int i = 0; i <= 100; ++i) {
    Moment moment;
    moment.seconds = 0.1 * i;
    moment.joules = {10 * moment.seconds, std::nullopt, 100 * moment.seconds};
    moment.own_seconds = moment.seconds;
    moment.busy_seconds = 1.5 * moment.seconds;
    moment.offered_seconds = 2 * moment.seconds;
    moment.host_bytes = 1e6 + i;
    moments.push_back(moment);
  }
  return moments;
}

TEST(Sampler, PowerOfWindowsAndWhatTheyCover) {
  const std::vector<Moment> moments = ten_seconds();
  const std::vector<Window> windows = {{0.95, 2.05}, {5.0, 6.0}, {7.01, 7.09}};
  const Power cpu = power_in(moves_of(moments, &Joules::cpu), windows, 0);
  EXPECT_NEAR(*cpu.watts, 10, 1e-9);
  EXPECT_NEAR(cpu.seconds, 2, 1e-9) << "1.0 to 2.0, 5.0 to 6.0, and nothing of the window between two moments";
  EXPECT_EQ(cpu.readings, 22);
  const Power gpu = power_in(moves_of(moments, &Joules::gpu), windows, 0.5);
  EXPECT_NEAR(*gpu.watts, 100, 1e-9);
  EXPECT_LT(gpu.seconds, 1.2);
  EXPECT_FALSE(power_in(moves_of(moments, &Joules::dram), windows, 0).watts);
}

// 100 W idle and 400 W from 2 s to 2.55 s, by a counter that moves each 0.1 s, 0.07 s behind the tenths.
std::vector<Reading> late_counter() {
  std::vector<Reading> moves;
  for (int i = 0; i < 100; ++i) {
    const double seconds = 0.1 * i + 0.07;
    moves.push_back({seconds, 100 * seconds + 300 * std::clamp(seconds - 2, 0.0, 0.55)});
  }
  return moves;
}

TEST(Sampler, PowerIsThatBetweenMovesOfTheCounter) {
  const std::vector<Window> busy = {{2.0, 2.55}}, short_turn = {{2.0, 2.25}};
  EXPECT_NEAR(*power_in(late_counter(), busy, 0.05).watts, 400, 1e-9);
  EXPECT_NEAR(power_in(late_counter(), busy, 0.05).seconds, 0.4, 1e-9);
  EXPECT_FALSE(power_in(late_counter(), short_turn, 0.1).watts) << "one move alone says nothing";
}

TEST(Sampler, SamplesLieEndToEnd) {
  const std::vector<Window> windows = {{1.0, 2.0}, {5.0, 6.0}};
  const std::vector<Sample> samples = samples_in(ten_seconds(), windows, 1000);
  ASSERT_GE(samples.size(), 10u);
  for (size_t i = 1; i < samples.size(); ++i) EXPECT_GT(samples[i].t, samples[i - 1].t);
  EXPECT_NEAR(samples.back().t, 2, 0.11);
  EXPECT_NEAR(samples[3].machine_share, 0.75, 1e-9);
  EXPECT_NEAR(*samples[3].cpu_watts, 10, 1e-9);
  EXPECT_NEAR(*samples[3].gpu_watts, 100, 1e-9);
  EXPECT_FALSE(samples[3].gpu_share);
  EXPECT_LE(samples_in(ten_seconds(), windows, 4).size(), 4u);
}

TEST(Sampler, PowerIsEvenWhereTheCounterIsNot) {
  std::vector<Moment> moments = ten_seconds();
  for (Moment& moment : moments) moment.joules.gpu = 13 * std::floor(*moment.joules.gpu / 13);  // as it was looked at
  std::vector<Reading> moves;
  for (int i = 1; i <= 70; ++i) moves.push_back({0.13 * i, 13.0 * i});
  even_out(moments, &Joules::gpu, moves);
  const std::vector<Window> windows = {{0.5, 5.0}, {6.0, 10.0}};
  const std::vector<Sample> samples = samples_in(moments, windows, 1000);
  ASSERT_GE(samples.size(), 50u);
  for (const Sample& sample : samples) EXPECT_NEAR(sample.gpu_watts.value_or(100), 100, 1e-6) << sample.t;
  EXPECT_FALSE(moments.front().joules.gpu) << "what it was in front of its first move is not known";
  EXPECT_TRUE(moments[90].joules.gpu);
  EXPECT_FALSE(moments[92].joules.gpu) << "what came behind its last move is not known, and not 0 W";
  EXPECT_FALSE(samples.back().gpu_watts);
}

TEST(Sampler, ACounterThatNeverMovesSaysNothing) {
  std::vector<Moment> moments = ten_seconds();
  for (Moment& moment : moments) moment.joules.cpu = 5;
  even_out(moments, &Joules::cpu, moves_of(moments, &Joules::cpu));
  const std::vector<Window> windows = {{1.0, 9.0}};
  for (const Sample& sample : samples_in(moments, windows, 1000)) EXPECT_FALSE(sample.cpu_watts);
}

TEST(Sampler, LooksAtThisProcess) {
  Powercap tree;
  tree.zone("intel-rapl:0", "package-0", "1000000");
  Sampler sampler(no_gpu(), {.powercap = tree.path(), .proc = "/proc"});
  const Moment first = sampler.look();
  volatile double sum = 0;
  while (sampler.look().own_seconds < first.own_seconds + 0.05) sum = sum + 1;
  const Moment last = sampler.look();
  EXPECT_GT(last.host_bytes, 1e6);
  EXPECT_GE(last.offered_seconds, first.offered_seconds);
  EXPECT_EQ(last.joules.cpu, 0);
  EXPECT_GE(sampler.moments().size(), 3u);
}

TEST(Sampler, TheFirstLookSawNothingMove) {
  Powercap tree;
  tree.zone("intel-rapl:0", "package-0", "1000000");
  Sampler sampler(no_gpu(), {.powercap = tree.path(), .proc = "/proc"});
  sampler.look();
  EXPECT_TRUE(sampler.readings(&Joules::cpu).empty());
  tree.count("intel-rapl:0", "1500000");
  const Moment moved = sampler.look();
  const std::vector<Reading> readings = sampler.readings(&Joules::cpu);
  ASSERT_EQ(readings.size(), 1u);
  EXPECT_NEAR(readings[0].joules, 0.5, 1e-9);
  EXPECT_LE(readings[0].seconds, moved.seconds);
}

TEST(Sampler, SeesACounterOfTheGpuMoveBetweenItsMoments) {
  const FakeGpu kind("counter");  // which moves each time that it is looked at
  const Nvml nvml(FOVEA_FAKE_NVML);
  Sampler sampler(nvml, {.powercap = "/nowhere", .proc = "/proc"});
  while (sampler.moments().size() < 3) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_GT(sampler.readings(&Joules::gpu).size(), 2 * sampler.moments().size());
}

}  // namespace
}  // namespace fovea::study
