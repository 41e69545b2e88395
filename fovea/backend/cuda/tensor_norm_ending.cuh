// How the sums of a tile end where they are what a batch norm reads: each filter is a channel of the norm, and a thread has two of them.
#pragma once

#include "fovea/backend/cuda/tensor_ending.cuh"

namespace fovea::cuda {

// What the norm makes of the thread's two filters: a sum x and what it meets become of_x x + of_met met + rest. Read when a block comes to
// other filters, which is seldom.
template <Ending ending, bool = is_of_norm<ending>>
struct NormRows {
  int row = -1;
  float mean[2], of_x[2], of_met[2], rest[2];

  __device__ static float factor(const Normal& normal, int at) { return normal.scale[at] / sqrtf(normal.variance[at] + normal.epsilon); }
  __device__ void read(const Destination& to, int new_row, int rows) {
    if (new_row == row) return;
    row = new_row;
    const NormBehind& norm = to.norm;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = row + 8 * i;
      mean[i] = of_x[i] = of_met[i] = rest[i] = 0;
      if (at >= rows) continue;
      mean[i] = norm.normal.mean[at];
      if constexpr (ending == Ending::normalised) {
        of_x[i] = factor(norm.normal, at);
        of_met[i] = 1;
        rest[i] = fmaf(-mean[i], of_x[i], norm.normal.shift[at]);
        if (norm.met.mean == nullptr) continue;
        of_met[i] = factor(norm.met, at);
        rest[i] += fmaf(-norm.met.mean[at], of_met[i], norm.met.shift[at]);
      }
      if constexpr (ending == Ending::norm_gradient) {
        const float each = norm.totals[at] * norm.rows_inverse;  // what every gradient loses, and for each difference from the mean
        const float by_difference = norm.totals[rows + at] * norm.rows_inverse / sqrtf(norm.normal.variance[at] + norm.normal.epsilon);
        of_met[i] = factor(norm.normal, at);
        of_x[i] = -of_met[i] * by_difference;
        rest[i] = of_met[i] * fmaf(mean[i], by_difference, -each);
      }
    }
  }
  __device__ float operator()(int i, float x, float met) const { return fmaf(x, of_x[i], fmaf(met, of_met[i], rest[i])); }
};
template <Ending ending>
struct NormRows<ending, false> {};

__device__ inline float at_least(float value, float least) { return value <= least ? least : value; }  // NaN stays NaN

// What is met is what is added to the normalised values, or the gradient behind the norm. The sums are taken as they would be stored.
template <class T, int pixels, Ending ending, class Met>
__device__ __forceinline__ void store_through_norm(float (&d)[pixels / 2], const Extent& extent, const Destination& to, const Work& work,
                                                   NormRows<ending>& rows, Met& meeting) {
  constexpr bool stores = ending != Ending::norm_sums;
  const Transposition& transposition = meeting.transposition;
  T* data = static_cast<T*>(to.data);
  rows.read(to, work.m0 + transposition.thread / 32 * 16 + transposition.thread % 32 / 4, extent.m);
  float gradients[2] = {0, 0}, products[2] = {0, 0};
#pragma unroll
  for (int first = 0; first < pixels; first += chunk) {
    const int which = meeting.before_at(meeting.arrived());
#pragma unroll
    for (int j = 0; j < 8; j += 2) {
      const float* sums = d + 4 * (first / 8 + j);
      uint32_t v[4];
      transposition.read_pairs(which, j, v);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int i = e % 2;
        const float2 met = floats_of(v[e], T());
        const float2 x = floats_of(pair_of(sums[place_of_pair(e)], sums[place_of_pair(e) + 1], T()), T());
        if constexpr (ending == Ending::norm_sums) {
          gradients[i] += met.x + met.y;  // zeros beyond the last image
          products[i] = fmaf(met.y, x.y - rows.mean[i], fmaf(met.x, x.x - rows.mean[i], products[i]));
        } else {
          float2 end = make_float2(rows(i, x.x, met.x), rows(i, x.y, met.y));
          if constexpr (ending == Ending::normalised) end = make_float2(at_least(end.x, to.norm.least), at_least(end.y, to.norm.least));
          v[e] = pair_of(end.x, end.y, T());
        }
      }
      if constexpr (stores) transposition.write_pairs(which, j, v);
    }
    sync_group(transposition.group);
    if constexpr (stores)
#pragma unroll
      for (int i = 0; i < pieces; ++i) {
        const int64_t place =
            place_of(extent, to, work.first_pixel + first + transposition.own_pixel(i), work.m0 + transposition.own_filter());
        if (place >= 0) *reinterpret_cast<uint4*>(data + place) = transposition.own_piece(which, i);
      }
    meeting.ask();
  }
  if constexpr (ending == Ending::norm_sums) {
    float* parts = to.norm.sums + int64_t{work.first_pixel / pixels} * 2 * extent.m;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      gradients[i] = sum_of_four(gradients[i]);
      products[i] = sum_of_four(products[i]);
      const int row = rows.row + 8 * i;
      if (transposition.thread % 4 > 0 || row >= extent.m) continue;
      parts[row] = gradients[i];
      parts[extent.m + row] = products[i];
    }
  }
}

}  // namespace fovea::cuda
