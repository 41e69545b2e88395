// Work of known size that shows what a device can do at most. It is measured and never part of a plan.
#pragma once

#include "fovea/backend/backend.h"
#include "fovea/graph/precision.h"

namespace fovea {

// Goes over blocks of floats `rounds` times; each thread over the same part in every round, so that what fits stays in its caches.
struct Load {
  enum class Kind : uint8_t { multiply_add, product, read, triad } kind = Kind::read;
  int64_t elements = block;  // a multiple of `block`, or of `tile` where it is a product
  int64_t rounds = 1;
  graph::Precision precision = graph::fp32;  // of the factors of a product

  static constexpr int64_t block = 3072;  // 12 registers of 4, 8 or 16 floats, or 256 threads of 12, come out even
  static constexpr int64_t tile = 8192;   // 64 x 128: of one instruction of Hopper's warp groups, or of several smaller ones
  static constexpr int64_t depth = 32;    // products that an element of a tile takes in a round

  double flops() const;  // a multiply-add counts as two
  double bytes() const;
  std::vector<graph::Type> in() const, out() const;
};  // multiply_add: out: y (elements): each y becomes 0.5 y + 1, in a register
    // product: out: y (elements): y += A B in f32, where A (64, depth) and B (depth, 128) are all ones in `precision`
    // read: in: x (elements)   out: y (elements / block): the sum of each block
    // triad: in: a b (elements)   out: y (elements) = a + 2 b. McCalpin's STREAM

// What a backend also is that can measure its device.
class LoadMaker {
 public:
  virtual ~LoadMaker();
  virtual KernelPtr make_load(const Load&, const Limits&) = 0;  // nullptr: none is known here for a product of that precision
  virtual int64_t last_level_cache() const = 0;                 // bytes
};

}  // namespace fovea
