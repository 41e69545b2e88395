// Which instruction set the vector loops run as.
#include "fovea/backend/openmp/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/backend/openmp/isa.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace fovea::openmp::HWY_NAMESPACE {
namespace {

std::string_view find_isa() { return HWY_TARGET == HWY_AVX3 ? "AVX-512" : hwy::TargetName(HWY_TARGET); }
int find_lanes() { return static_cast<int>(hwy::HWY_NAMESPACE::Lanes(hwy::HWY_NAMESPACE::ScalableTag<float>())); }

}  // namespace
}  // namespace fovea::openmp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::openmp {

HWY_EXPORT(find_isa);
HWY_EXPORT(find_lanes);
std::string_view isa() { return HWY_DYNAMIC_DISPATCH(find_isa)(); }
int lanes() { return HWY_DYNAMIC_DISPATCH(find_lanes)(); }

}  // namespace fovea::openmp
#endif
