#include "fovea/backend/openmp/sums.h"

#include "fovea/backend/openmp/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/backend/openmp/sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace fovea::openmp::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void add_parts_here(const Parts& shape, const float* parts, Into into, float* to) {
  constexpr hn::ScalableTag<float> of;
  constexpr int64_t width = hn::MaxLanes(of);
  int64_t i = 0;
  for (; i + 2 * width <= shape.count; i += 2 * width) {
    auto one = hn::LoadU(of, parts + i), two = hn::LoadU(of, parts + i + width);
    for (int64_t part = 1; part < shape.parts; ++part) {
      one = hn::Add(one, hn::LoadU(of, parts + part * shape.stride + i));
      two = hn::Add(two, hn::LoadU(of, parts + part * shape.stride + i + width));
    }
    if (into == Into::add) {
      one = hn::Add(one, hn::LoadU(of, to + i));
      two = hn::Add(two, hn::LoadU(of, to + i + width));
    }
    hn::StoreU(one, of, to + i);
    hn::StoreU(two, of, to + i + width);
  }
  for (; i < shape.count; ++i) {
    float sum = parts[i];
    for (int64_t part = 1; part < shape.parts; ++part) sum += parts[part * shape.stride + i];
    to[i] = into == Into::add ? sum + to[i] : sum;
  }
}

}  // namespace
}  // namespace fovea::openmp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::openmp {

HWY_EXPORT(add_parts_here);
void add_parts(const Parts& shape, const float* parts, Into into, float* to) {
  HWY_DYNAMIC_DISPATCH(add_parts_here)(shape, parts, into, to);
}

}  // namespace fovea::openmp
#endif
