// What the vector units and the memory give at most, on the threads of this backend.
#include "fovea/backend/load.h"

#include <fmt/format.h>

#include <atomic>

#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/openmp/bf16_products.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/simd.h"
#include "fovea/base/processor.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/backend/openmp/load.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace fovea::openmp::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Lanes = hn::ScalableTag<float>;
using Vector = hn::Vec<Lanes>;
constexpr Lanes of;
constexpr int64_t width = hn::MaxLanes(of);
constexpr int registers = 12;  // at once: more than latency times units of any processor, and they fit into 16

void multiply_add(int64_t rounds, float* y) {
  const Vector half = hn::Set(of, 0.5f), one = hn::Set(of, 1.0f);
  for (int64_t first = 0; first < Load::block; first += registers * width) {
    Vector sum[registers];
    for (int i = 0; i < registers; ++i)
      sum[i] = hn::LoadU(of, y + first + i * width);  // of which a compiler knows nothing: not all the same
    for (int64_t round = 0; round < rounds; ++round)
      for (Vector& each : sum) each = hn::MulAdd(each, half, one);
    for (int i = 0; i < registers; ++i) hn::StoreU(sum[i], of, y + first + i * width);
  }
}

void read(const float* x, float* y) {
  Vector sum[registers];
  for (Vector& each : sum) each = hn::Zero(of);
  for (int64_t first = 0; first < Load::block; first += registers * width)
    for (int i = 0; i < registers; ++i) sum[i] = hn::Add(sum[i], hn::LoadU(of, x + first + i * width));
  for (int i = 1; i < registers; ++i) sum[0] = hn::Add(sum[0], sum[i]);
  *y = hn::GetLane(hn::SumOfLanes(of, sum[0]));
}

void triad(const float* a, const float* b, float* y) {
  const Vector two = hn::Set(of, 2.0f);
  for (int64_t i = 0; i < Load::block; i += width) hn::StoreU(hn::MulAdd(two, hn::LoadU(of, b + i), hn::LoadU(of, a + i)), of, y + i);
}

}  // namespace
}  // namespace fovea::openmp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::openmp {
namespace {

HWY_EXPORT(multiply_add);
HWY_EXPORT(read);
HWY_EXPORT(triad);

void run_load(const Load& load, const Run& run) {
  const int64_t blocks = load.elements / Load::block;
  float* y = output(run.buffers, 0);
  if (load.kind == Load::Kind::multiply_add) {
    return parallel_for(run.threads, blocks, [&](int64_t block) {
      HWY_DYNAMIC_DISPATCH(multiply_add)(load.rounds, y + block * Load::block);
    });
  }
  const float* a = input(run.buffers, 0);
  const float* b = load.kind == Load::Kind::triad ? input(run.buffers, 1) : nullptr;
  parallel_for(run.threads, run.threads, [&](int64_t part) {
    for (int64_t round = 0; round < load.rounds; ++round) {
      for (int64_t block = blocks * part / run.threads; block < blocks * (part + 1) / run.threads; ++block)
        if (const int64_t at = block * Load::block; b == nullptr)
          HWY_DYNAMIC_DISPATCH(read)(a + at, y + block);
        else
          HWY_DYNAMIC_DISPATCH(triad)(a + at, b + at, y + at);
      std::atomic_signal_fence(std::memory_order_seq_cst);  // each round reads anew
    }
  });
}

}  // namespace

KernelPtr OpenmpBackend::make_load(const Load& load, const Limits& limits) {
  if (load.kind == Load::Kind::product) {
    static const std::vector<Bf16Products> of_processor = bf16_products();
    if (load.precision != graph::bf16 || of_processor.empty()) return nullptr;
    const Bf16Products& products = of_processor.front();
    const auto run_tiles = [run = products.run](const Load& of, const Run& at) {
      float* y = output(at.buffers, 0);
      parallel_for(at.threads, of.elements / Load::tile, [&](int64_t tile) { run(of.rounds, y + tile * Load::tile); });
    };
    return kernel(std::string(products.name), load, run_tiles, limits.threads);
  }
  return kernel(fmt::format("{} vectors", isa()), load, run_load, limits.threads);
}
int64_t OpenmpBackend::last_level_cache() const { return static_cast<int64_t>(cache_bytes()); }

}  // namespace fovea::openmp
#endif
