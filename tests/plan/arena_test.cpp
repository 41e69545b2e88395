// Packing of lifetimes, on random ones.
#include "fovea/plan/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "fovea/base/philox.h"

namespace fovea::plan {
namespace {

std::vector<Lifetime> random_lifetimes(uint32_t seed) {
  const Random4 sizes = philox(seed, Draw::test, 0, 0, 0);
  const uint32_t count = 1 + to_below(sizes.v[0], 40), steps = 1 + to_below(sizes.v[1], 30);
  std::vector<Lifetime> lifetimes;
  for (uint32_t i = 0; i < count; ++i) {
    const Random4 bits = philox(seed, Draw::test, 1, i, 0);
    const int64_t first = to_below(bits.v[0], steps);
    lifetimes.push_back({1 + to_below(bits.v[1], 5000), first, first + to_below(bits.v[2], steps)});
  }
  return lifetimes;
}

bool meet_in_time(const Lifetime& a, const Lifetime& b) { return a.first <= b.last && b.first <= a.last; }
bool meet_in_memory(const Lifetime& a, const Lifetime& b) { return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes; }

size_t alive_at(const std::vector<Lifetime>& lifetimes, int64_t step) {
  size_t bytes = 0;
  for (const Lifetime& lifetime : lifetimes) bytes += lifetime.first <= step && step <= lifetime.last ? aligned(lifetime.bytes) : 0;
  return bytes;
}

TEST(Pack, SharesMemoryOnlyAcrossTime) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    std::vector<Lifetime> lifetimes = random_lifetimes(seed);
    const size_t needed = pack(lifetimes);
    size_t sum = 0, end = 0, most_alive = 0;
    for (const Lifetime& a : lifetimes) {
      EXPECT_EQ(a.offset % alignment, 0u);
      sum += aligned(a.bytes);
      end = std::max(end, a.offset + aligned(a.bytes));
      most_alive = std::max(most_alive, alive_at(lifetimes, a.first));
      for (const Lifetime& b : lifetimes) EXPECT_FALSE(&a != &b && meet_in_time(a, b) && meet_in_memory(a, b)) << "seed " << seed;
    }
    EXPECT_EQ(needed, end);
    EXPECT_LE(needed, sum);
    EXPECT_GE(needed, most_alive);
  }
}

TEST(Pack, PutsOneAfterAnotherInTheSamePlace) {
  std::vector<Lifetime> chain;
  for (int64_t step = 0; step < 10; ++step) chain.push_back({1000, step, step});
  EXPECT_EQ(pack(chain), aligned(1000));
  std::vector<Lifetime> none;
  EXPECT_EQ(pack(none), 0u);
}

TEST(ArenaMemory, IsZeroedAndOneForAllPlans) {
  const std::unique_ptr<Device> device = make_host_device();
  const std::unique_ptr<Stream> stream = device->make_stream();
  const ArenaBytes bytes = largest({0, 512, 0, 256, 0, 256}, {256, 256, 0, 1024, 0, 256});
  EXPECT_EQ(bytes, (ArenaBytes{256, 512, 0, 1024, 0, 256}));
  EXPECT_EQ(total(bytes), 2048u);
  const ArenaMemory memory(*device, bytes, *stream);
  for (const Arena arena : {Arena::parameters, Arena::gradients, Arena::activations, Arena::control}) {
    const std::byte* base = memory.base(arena);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(base) % alignment, 0u);
    EXPECT_TRUE(std::all_of(base, base + bytes[static_cast<size_t>(arena)], [](std::byte byte) { return byte == std::byte{0}; }));
  }
}

TEST(ArenaMemory, ElsewhereHoldsTheSameAtOtherPlacesOfAPage) {
  const std::unique_ptr<Device> device = make_host_device();
  const std::unique_ptr<Stream> stream = device->make_stream();
  const ArenaMemory memory(*device, {256, 0, 0, 0, 0, 10000, 256}, *stream);
  constexpr std::string_view text = "what is there";
  std::copy(text.begin(), text.end(), reinterpret_cast<char*>(memory.base(Arena::activations)) + 9000);
  std::set<uintptr_t> places;
  for (int i = 0; i < 100; ++i) {
    const ArenaMemory other = memory.elsewhere(*device, *stream);
    EXPECT_EQ(other.bytes(), memory.bytes());
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(other.base(Arena::activations)) + 9000, text.size()), text);
    places.insert(reinterpret_cast<uintptr_t>(other.base(Arena::activations)) % 4096);
  }
  for (const uintptr_t place : places) EXPECT_EQ(place % alignment, 0u);
  EXPECT_GE(places.size(), 12u) << "of 16";
}

TEST(HostDevice, EveryOneDrawsPlacesOfItsOwn) {
  const auto places_of = [](Device& device) {
    std::vector<uintptr_t> places;
    for (int i = 0; i < 64; ++i) places.push_back(reinterpret_cast<uintptr_t>(device.allocate(10000)->data()) % 4096);
    return places;
  };
  std::set<std::vector<uintptr_t>> all;
  for (int i = 0; i < 10; ++i) all.insert(places_of(*make_host_device()));
  EXPECT_EQ(all.size(), 10u);
}

}  // namespace
}  // namespace fovea::plan
