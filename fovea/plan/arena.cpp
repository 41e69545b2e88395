#include "fovea/plan/arena.h"

#include <algorithm>
#include <numeric>

namespace fovea::plan {

std::string_view name_of(Arena arena) {
  constexpr std::array<std::string_view, arena_count> names = {"parameters", "averages",    "gradients", "state",
                                                               "working",    "activations", "control"};
  return names[static_cast<size_t>(arena)];
}

ArenaBytes largest(const ArenaBytes& a, const ArenaBytes& b) {
  ArenaBytes result;
  for (size_t i = 0; i < arena_count; ++i) result[i] = std::max(a[i], b[i]);
  return result;
}

size_t total(const ArenaBytes& bytes) { return std::accumulate(bytes.begin(), bytes.end(), size_t{0}); }

ArenaMemory::ArenaMemory(Device& device, const ArenaBytes& bytes, Stream& stream) : bytes_(bytes) {
  for (size_t i = 0; i < arena_count; ++i) {
    memory_[i] = device.allocate(bytes[i]);
    device.fill(memory_[i]->data(), std::byte{0}, bytes[i], stream);
    base_[i] = static_cast<std::byte*>(memory_[i]->data());
  }
}

ArenaMemory::ArenaMemory(Device& device, const ArenaMemory& other, size_t activation_bytes) : bytes_(other.bytes_), base_(other.base_) {
  constexpr auto own = static_cast<size_t>(Arena::activations);
  bytes_[own] = activation_bytes;
  memory_[own] = device.allocate(activation_bytes);
  base_[own] = static_cast<std::byte*>(memory_[own]->data());
}

ArenaMemory ArenaMemory::elsewhere(Device& device, Stream& stream) const {
  ArenaMemory copy(bytes_);
  for (size_t i = 0; i < arena_count; ++i) {
    copy.memory_[i] = device.allocate(bytes_[i]);
    copy.base_[i] = static_cast<std::byte*>(copy.memory_[i]->data());
    device.upload(copy.base_[i], base_[i], bytes_[i], stream);
  }
  return copy;
}

size_t pack(std::vector<Lifetime>& lifetimes) {
  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });

  size_t needed = 0;
  std::vector<const Lifetime*> placed;  // by offset
  for (const size_t index : order) {
    Lifetime& lifetime = lifetimes[index];
    size_t offset = 0;
    for (const Lifetime* other : placed) {
      if (other->last < lifetime.first || lifetime.last < other->first) continue;
      if (offset + aligned(lifetime.bytes) <= other->offset) break;
      offset = std::max(offset, other->offset + aligned(other->bytes));
    }
    lifetime.offset = offset;
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), offset, [](size_t at, const Lifetime* other) { return at < other->offset; }),
        &lifetime);
    needed = std::max(needed, offset + aligned(lifetime.bytes));
  }
  return needed;
}

}  // namespace fovea::plan
