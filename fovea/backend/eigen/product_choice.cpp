// Which compilation of product.cpp this processor gets.
#include "fovea/backend/eigen/product.h"

namespace fovea::eigen {
namespace baseline {
extern const Products table;
}
#if defined(__x86_64__)
namespace v3 {
extern const Products table;
}
namespace v4 {
extern const Products table;
}
namespace {
const Products& choose() {
  __builtin_cpu_init();
  const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  return has_v4 ? v4::table : has_v3 ? v3::table : baseline::table;
}
}  // namespace
#else
namespace {
const Products& choose() { return baseline::table; }
}  // namespace
#endif

const Products& products() {
  static const Products& chosen = choose();
  return chosen;
}

}  // namespace fovea::eigen
