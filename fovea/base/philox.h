// Philox4x32-10, the counter-based generator behind every random number, the same on host and device.
// Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define FOVEA_HOST_DEVICE __host__ __device__
#else
#define FOVEA_HOST_DEVICE
#endif

namespace fovea {

// What a random number is for: the first word of the counter, so that no two uses share a stream.
enum class Draw : uint32_t { shuffle = 1, augment = 2, dropout = 3, init = 4, pixels = 5, digits = 6, split = 7, test = 8, bootstrap = 9 };

struct Random4 {
  uint32_t v[4];
};

FOVEA_HOST_DEVICE inline Random4 philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c0, b = uint64_t{0xCD9E8D57u} * c2;
    const uint32_t n0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(b);
    c3 = static_cast<uint32_t>(a);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

FOVEA_HOST_DEVICE inline Random4 philox(uint64_t seed, Draw draw, uint32_t c1, uint32_t c2, uint32_t c3) {
  return philox(seed, static_cast<uint32_t>(draw), c1, c2, c3);
}

// 24 random bits as a float in [0, 1); exact, so the same on every backend.
FOVEA_HOST_DEVICE inline float to_unit(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// A whole number in [0, n).
FOVEA_HOST_DEVICE inline uint32_t to_below(uint32_t bits, uint32_t n) { return static_cast<uint32_t>((uint64_t{bits} * n) >> 32); }

// Position i of the shuffled order of n items in an epoch: a four-round Feistel network over the smallest even power of two >= n,
// walked until it falls inside [0, n). A bijection that needs no memory and is evaluated per index.
// Black and Rogaway: "Ciphers with arbitrary finite domains", CT-RSA 2002, section 4 (cycle walking).
FOVEA_HOST_DEVICE inline uint64_t shuffled_index(uint64_t i, uint64_t n, uint64_t seed, uint32_t epoch) {
  uint32_t half_bits = 1;
  while ((uint64_t{1} << (2 * half_bits)) < n) ++half_bits;
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  do {
    uint64_t left = i >> half_bits, right = i & mask;
    for (uint32_t round = 0; round < 4; ++round) {
      const uint64_t mixed = philox(seed, Draw::shuffle, epoch, static_cast<uint32_t>(right), round).v[0] & mask;
      const uint64_t next = left ^ mixed;
      left = right;
      right = next;
    }
    i = (left << half_bits) | right;
  } while (i >= n);
  return i;
}

}  // namespace fovea
