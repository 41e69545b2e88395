// Work of known size that shows what a device can do at most. It is measured and never part of a plan.
#pragma once

#include "fovea/backend/backend.h"

namespace fovea {

// Goes over blocks of floats `rounds` times; each thread over the same part in every round, so that what fits stays in its caches.
struct Load {
  enum class Kind : uint8_t { multiply_add, read, triad } kind = Kind::read;
  int64_t elements = block;  // a multiple of `block`
  int64_t rounds = 1;

  static constexpr int64_t block = 3072;  // 12 registers of 4, 8 or 16 floats, or 256 threads of 12, come out even

  double flops() const;  // a multiply-add counts as two
  double bytes() const;
  std::vector<graph::Type> in() const, out() const;
};  // multiply_add: out: y (elements): each y becomes 0.5 y + 1, in a register
    // read: in: x (elements)   out: y (elements / block): the sum of each block
    // triad: in: a b (elements)   out: y (elements) = a + 2 b. McCalpin's STREAM

// What a backend also is that can measure its device.
class LoadMaker {
 public:
  virtual ~LoadMaker();
  virtual KernelPtr make_load(const Load&, const Limits&) = 0;
  virtual int64_t last_level_cache() const = 0;  // bytes
};

}  // namespace fovea
