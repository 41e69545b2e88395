#include "fovea/backend/openmp/bf16_products.h"

#include "fovea/backend/load.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fovea::openmp {
namespace {

constexpr uint16_t one = 0x3F80;  // in bf16

// All eight tiles have 16 rows of 64 bytes: 16 x 32 numbers of bf16 times 32 x 16, added to 16 x 16 floats. Intel, "Architecture
// instruction set extensions", chapter 3.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Of the memory that they read and write, GCC's functions for tiles name a part alone.
inline void written_to_memory() { asm volatile("" ::: "memory"); }

__attribute__((target("amx-tile,amx-bf16"))) void on_tiles(int64_t rounds, float* y) {
  constexpr int64_t row_bytes = 64, floats = 256, at_once = 4;  // tiles that are added to in turns, which hides the latency
  alignas(64) uint16_t ones[512];
  for (uint16_t& each : ones) each = one;
  TileShapes shapes, before;
  for (int i = 0; i < 8; ++i) {
    shapes.row_bytes[i] = row_bytes;
    shapes.rows[i] = 16;
  }
  _tile_storeconfig(&before);  // of a library that keeps its own on this thread
  written_to_memory();
  _tile_loadconfig(&shapes);
  _tile_loadd(4, ones, row_bytes);
  _tile_loadd(5, ones, row_bytes);
  _tile_loadd(6, ones, row_bytes);
  _tile_loadd(7, ones, row_bytes);
  for (float* end = y + Load::tile; y < end; y += at_once * floats) {
    _tile_loadd(0, y, row_bytes);
    _tile_loadd(1, y + floats, row_bytes);
    _tile_loadd(2, y + 2 * floats, row_bytes);
    _tile_loadd(3, y + 3 * floats, row_bytes);
    for (int64_t round = 0; round < rounds; ++round) {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, y, row_bytes);
    _tile_stored(1, y + floats, row_bytes);
    _tile_stored(2, y + 2 * floats, row_bytes);
    _tile_stored(3, y + 3 * floats, row_bytes);
  }
  written_to_memory();
  _tile_loadconfig(&before);
}

// Pairs of neighbours at once, added to 16 floats.
__attribute__((target("avx512f,avx512bf16"))) void on_vectors(int64_t rounds, float* y) {
  constexpr int registers = 16, floats = 16, pairs = static_cast<int>(Load::depth) / 2;
  const __m512bh ones = (__m512bh)_mm512_set1_epi16(one);
  for (float* end = y + Load::tile; y < end; y += registers * floats) {
    __m512 sum[registers];
    for (int i = 0; i < registers; ++i) sum[i] = _mm512_loadu_ps(y + i * floats);
    for (int64_t round = 0; round < rounds * pairs; ++round)
      for (__m512& each : sum) each = _mm512_dpbf16_ps(each, ones, ones);
    for (int i = 0; i < registers; ++i) _mm512_storeu_ps(y + i * floats, sum[i]);
  }
}

struct Leaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
};
Leaf cpuid(unsigned leaf, unsigned part) {
  Leaf found;
  if (__get_cpuid_count(leaf, part, &found.a, &found.b, &found.c, &found.d) == 0) return {};
  return found;
}

constexpr bool bit(unsigned bits, int which) { return (bits >> which & 1) != 0; }

// The system keeps the registers of a process that has asked for them. Linux, Documentation/arch/x86/xstate.rst.
bool request_tiles() {
  constexpr int request = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

bool system_keeps_vectors() {
  constexpr unsigned avx512 = 0xE6;
  unsigned low = 0, high = 0;
  if (!bit(cpuid(1, 0).c, 27)) return false;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & avx512) == avx512;
}

}  // namespace

std::vector<Bf16Products> bf16_products() {
  std::vector<Bf16Products> found;
  const Leaf features = cpuid(7, 0);
  const bool has_tiles = bit(features.d, 22) && bit(features.d, 24), has_vectors = bit(features.b, 16) && bit(cpuid(7, 1).a, 5);
  if (has_tiles && request_tiles()) found.push_back({"AMX-BF16", on_tiles});
  if (has_vectors && system_keeps_vectors()) found.push_back({"AVX512-BF16", on_vectors});
  return found;
}

}  // namespace fovea::openmp

#else

namespace fovea::openmp {

std::vector<Bf16Products> bf16_products() { return {}; }

}  // namespace fovea::openmp

#endif
