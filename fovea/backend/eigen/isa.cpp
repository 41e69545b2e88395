// Which compilation of the loops this processor gets.
#include "fovea/backend/eigen/depthwise_loops.h"
#include "fovea/backend/eigen/direct.h"
#include "fovea/backend/eigen/pool_loops.h"
#include "fovea/backend/eigen/product.h"

namespace fovea::eigen {
namespace {

struct Isa {
  const Products& products;
  const DirectLoops& loops;
  const PoolLoops& pools;
  const DepthwiseLoops& depthwise;
};

}  // namespace

namespace baseline {
extern const Products table;
extern const DirectLoops loops;
extern const PoolLoops pools;
extern const DepthwiseLoops depthwise;
}  // namespace baseline

#if defined(__x86_64__)
namespace v3 {
extern const Products table;
extern const DirectLoops loops;
extern const PoolLoops pools;
extern const DepthwiseLoops depthwise;
}  // namespace v3
namespace v4 {
extern const Products table;
extern const DirectLoops loops;
extern const PoolLoops pools;
extern const DepthwiseLoops depthwise;
}  // namespace v4

static Isa choose() {
  __builtin_cpu_init();
  const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (has_v4) return {v4::table, v4::loops, v4::pools, v4::depthwise};
  if (has_v3) return {v3::table, v3::loops, v3::pools, v3::depthwise};
  return {baseline::table, baseline::loops, baseline::pools, baseline::depthwise};
}
#else
static Isa choose() { return {baseline::table, baseline::loops, baseline::pools, baseline::depthwise}; }
#endif

static const Isa& isa() {
  static const Isa chosen = choose();
  return chosen;
}

const Products& products() { return isa().products; }
const DirectLoops& direct_loops() { return isa().loops; }
const PoolLoops& pool_loops() { return isa().pools; }
const DepthwiseLoops& depthwise_loops() { return isa().depthwise; }

}  // namespace fovea::eigen
