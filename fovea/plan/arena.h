// Where values lie: arenas, and the packing of lifetimes into one of them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "fovea/device/device.h"

namespace fovea::plan {

enum class Arena : uint8_t { parameters, averages, gradients, state, working, activations, control };
inline constexpr size_t arena_count = 7;
std::string_view name_of(Arena arena);

using ArenaBytes = std::array<size_t, arena_count>;
ArenaBytes largest(const ArenaBytes& a, const ArenaBytes& b);  // arenas that plans a and b can share
size_t total(const ArenaBytes& bytes);

inline constexpr size_t alignment = 256;
constexpr size_t aligned(size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

// One allocation per arena. Plans that train, evaluate and take the last partial batch share them.
class ArenaMemory {
 public:
  ArenaMemory(Device& device, const ArenaBytes& bytes, Stream& stream);  // zeroed; throws Error (memory)
  // The arenas of `other`, which has to outlive them, but activations of its own.
  ArenaMemory(Device& device, const ArenaMemory& other, size_t activation_bytes);
  // The same content at other addresses, where it is the memory of the host.
  ArenaMemory elsewhere(Device& device, Stream& stream) const;
  std::byte* base(Arena arena) const { return base_[static_cast<size_t>(arena)]; }
  const ArenaBytes& bytes() const { return bytes_; }

 private:
  explicit ArenaMemory(const ArenaBytes& bytes) : bytes_(bytes) {}

  ArenaBytes bytes_;
  std::array<std::unique_ptr<Memory>, arena_count> memory_;
  std::array<std::byte*, arena_count> base_{};
};

// A value that lives from step `first` to step `last`, both included, or the workspace of one step.
struct Lifetime {
  size_t bytes = 0;
  int64_t first = 0, last = 0;
  size_t offset = 0;  // the result
};
// Gives every lifetime an offset so that no two that overlap in time overlap in memory: largest first, at the lowest gap that takes it
// (Pisarchyk and Lee: "Efficient memory management for deep neural net inference", 2020, greedy by size). Returns the bytes needed.
size_t pack(std::vector<Lifetime>& lifetimes);

}  // namespace fovea::plan
