// How the sums of a tile of conv2d_tiles get from registers to memory: with a bias and relu, added to what is there, through the gradient
// of relu, or as parts of sums.
#pragma once

#include "fovea/backend/cuda/norm_parts.h"
#include "fovea/backend/cuda/tensor_moments.cuh"
#include "fovea/backend/cuda/tensor_product.h"
#include "fovea/backend/cuda/tensor_tiles.cuh"

namespace fovea::cuda {

constexpr int chunk = 64;           // pixels that are written at a time
constexpr int pieces = chunk / 16;  // of eight filters that a thread writes of them

// What the sums meet in memory before they are written: nothing, what they are added to, what relu gave, or both. Or what becomes of them
// in a batch norm, and they themselves are not written (tensor_norm_ending.cuh). A kernel for each, since choices at run time cost
// registers: docs/performance.md.
enum class Ending : uint8_t { plain, adds, through_relu, adds_through_relu, moments, normalised, norm_sums, norm_gradient };
template <Ending ending>
constexpr bool adds_before = ending == Ending::adds || ending == Ending::adds_through_relu;
template <Ending ending>
constexpr bool is_through_relu = ending == Ending::through_relu || ending == Ending::adds_through_relu;

template <Ending ending>
constexpr bool is_of_norm = ending == Ending::normalised || ending == Ending::norm_sums || ending == Ending::norm_gradient;
template <Ending ending>
constexpr bool meets_nothing = ending == Ending::plain || ending == Ending::moments;
template <Ending ending>
constexpr int chunks_that_meet = is_of_norm<ending> ? 2 : 4;  // that a group has room for, where the sums meet something

struct Extent {
  WindowOrder windows;
  Divider by_s, by_blocks;  // blocks of channels: boxes for each tap
  int dilation_h, dilation_w, first_tap, tap_r, tap_s;
  int boxes;  // for all taps
  int m, tiles_m, tiles;
  int parts, rounds_per_part;  // of the sum, in stages
};

// The batch norm behind the product.
struct NormBehind {
  Normal normal;        // of the sums
  Normal met;           // of what is added to them; without a mean it is added as it is
  float least;          // of what comes of that: 0 behind relu
  float* sums;          // of the gradient, and of its products with the differences from the mean: (tiles, 2, m)
  const float* totals;  // over all pixels, of the gradient, and of its products with the normalised values: (2, m)
  float rows_inverse;
};

struct Destination {
  void* data;          // (n, h, w, m), or the parts of the sum: (parts, pixels, m) f32
  const float* bias;   // nullptr: none
  float* moments;      // of parts of the pixels, a tile each: (parts, 2, m); nullptr: nobody asks for them
  const void* before;  // what the sums are added to, lying as data does; nullptr: nothing
  const void* relu_y;  // of the relu whose gradient they become, likewise; nullptr: of none
  float* totals;       // of what is written, over the pixels of a tile: (tiles, m); of Ending::through_relu; nullptr: nobody asks for them
  bool relu;
  bool in_order;  // window i goes to pixel i
  PatchProduct::Places places;
  NormBehind norm = {};

  __device__ int64_t pixel(const WindowOrder& windows, int i) const {
    if (in_order) return i;
    const Divided row = windows.by_q.divide(i);
    const Divided image = windows.by_p.divide(row.quotient);
    return (int64_t{image.quotient} * places.h + image.remainder * places.step_h + places.first_h) * places.w +
           row.remainder * places.step_w + places.first_w;
  }
};

__device__ inline float finished(float sum, const Destination& to) { return to.relu && sum <= 0 ? 0.0f : sum; }  // NaN stays NaN

// The tile and the part of the sum that a block works on.
struct Work {
  int m0, first_pixel, part, first_round, rounds;
  __device__ Work(const Extent& extent, int unit, int rows, int pixels, int boxes) {
    const int tile = unit / extent.parts, all = (extent.boxes + boxes - 1) / boxes;
    part = unit % extent.parts;
    m0 = tile % extent.tiles_m * rows;
    first_pixel = tile / extent.tiles_m * pixels;
    first_round = part * extent.rounds_per_part;
    rounds = max(0, min(extent.rounds_per_part, all - first_round));
  }
};

// Shared memory between registers, where a thread has two neighbouring pixels of a filter, and memory, where filters are neighbours: chunks
// of 64 pixels of 64 filters, in pieces of eight filters whose place depends on the pixel, so that no two lanes meet in a bank.
struct Transposition {
  unsigned char* shared;
  int group, thread;

  __device__ unsigned char* piece(int which, int pixel, int eight) const {
    return shared + (which * chunk + pixel) * group_rows * 2 + (eight ^ (pixel % 8)) * 16;
  }
  __device__ uint32_t matrix_row(int which, int j) const {
    const int lane = thread % 32;
    return shared_address(piece(which, 8 * (j + lane / 16) + lane % 8, thread / 32 * 2 + lane / 8 % 2));
  }
  __device__ void write_pairs(int which, int j, const uint32_t (&v)[4]) const {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(matrix_row(which, j)), "r"(v[0]), "r"(v[1]),
                 "r"(v[2]), "r"(v[3])
                 : "memory");
  }
  __device__ void read_pairs(int which, int j, uint32_t (&v)[4]) const {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                 : "r"(matrix_row(which, j))
                 : "memory");
  }
  __device__ int own_pixel(int i) const { return thread / 8 + 16 * i; }
  __device__ int own_filter() const { return thread % 8 * 8; }
  __device__ uint4& own_piece(int which, int i) const { return *reinterpret_cast<uint4*>(piece(which, own_pixel(i), thread % 8)); }
};

// Where a thread's piece of pixel `at` lies in memory; -1: beyond the last pixel or filter.
__device__ __forceinline__ int64_t place_of(const Extent& extent, const Destination& to, int at, int m) {
  return at < extent.windows.count && m < extent.m ? to.pixel(extent.windows, at) * extent.m + m : -1;
}

// What sums meet in memory, on its way into shared memory: asked for several chunks ahead of them, beyond the end of a tile. A slot is a
// chunk of what they are added to or of what relu gave, which becomes their own place, or one of each. A thread reads its own pieces last,
// and alone, so that it may ask for the next ones there. The gradient by the image of 256 x 56 x 56 x 256 through a 1 x 1 convolution to 64
// channels, with relu, on an H100: 373 us, and 1,100 us where every piece is waited for.
template <class T, int groups, int pixels, int boxes, Ending ending>
struct Meeting {
  static constexpr bool has_both = ending == Ending::adds_through_relu;
  static constexpr int slots = chunks_that_meet<ending> / (has_both ? 2 : 1);

  const Extent& extent;
  const Destination& to;
  const Transposition& transposition;
  Work work;
  int unit, first = 0, slot = 0;

  __device__ Meeting(const Extent& all, const Destination& destination, const Transposition& own)
      : extent(all),
        to(destination),
        transposition(own),
        work(own_work(static_cast<int>(blockIdx.x))),
        unit(static_cast<int>(blockIdx.x)) {}
  __device__ static int before_at(int of_slot) { return has_both ? 2 * of_slot : of_slot; }
  __device__ static int relu_at(int of_slot) { return has_both ? 2 * of_slot + 1 : of_slot; }

  __device__ Work own_work(int of_unit) const {
    Work own(extent, of_unit, groups * group_rows, pixels, boxes);
    own.m0 += transposition.group * group_rows;
    return own;
  }
  __device__ void ask() {
    if (unit < extent.tiles) {
#pragma unroll
      for (int i = 0; i < pieces; ++i) {
        const int64_t place =
            place_of(extent, to, work.first_pixel + first + transposition.own_pixel(i), work.m0 + transposition.own_filter());
        const int64_t from = place < 0 ? 0 : place;
        if constexpr (is_of_norm<ending>) {
          if (to.before != nullptr)
            copy_sixteen(shared_address(&transposition.own_piece(slot, i)), static_cast<const T*>(to.before) + from, place >= 0);
          else
            transposition.own_piece(slot, i) = make_uint4(0, 0, 0, 0);
        }
        if constexpr (adds_before<ending>)
          copy_sixteen(shared_address(&transposition.own_piece(before_at(slot), i)), static_cast<const T*>(to.before) + from, place >= 0);
        if constexpr (is_through_relu<ending>)
          copy_sixteen(shared_address(&transposition.own_piece(relu_at(slot), i)), static_cast<const T*>(to.relu_y) + from, place >= 0);
      }
      first += chunk;
      if (first == pixels) {
        first = 0;
        unit += static_cast<int>(gridDim.x);
        if (unit < extent.tiles) work = own_work(unit);
      }
    }
    end_copies();  // an empty group too, so that their number tells which have arrived
    slot = (slot + 1) % slots;
  }
  __device__ int arrived() const {  // the slot that was asked for first
    wait_for_copies<slots - 1>();
    sync_group(transposition.group);
    return slot;
  }
};

// Gradients where relu let its input through.
template <class T>
__device__ __forceinline__ uint32_t through_relu(uint32_t dy, uint32_t y) {
  return dy & ~zero_mask(y, T());
}

// Pairs e = 0 to 3 of two pixels: filter e % 2 of the thread's two, and after the first two pairs the next eight pixels.
__device__ __forceinline__ int place_of_pair(int e) { return 4 * (e / 2) + 2 * (e % 2); }

// The sums of two neighbouring eights of pixels on their way to shared memory.
template <class T, Ending ending>
__device__ __forceinline__ void finish_pairs(float* sums, const float (&bias)[2], const Destination& to, const Transposition& transposition,
                                             int which, int relu_at, int j, float (&totals)[2]) {
  uint32_t v[4];
  if constexpr (adds_before<ending>) {
    transposition.read_pairs(which, j, v);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float2 pair = floats_of(v[e], T());
      sums[place_of_pair(e)] += pair.x;
      sums[place_of_pair(e) + 1] += pair.y;
    }
  }
#pragma unroll
  for (int e = 0; e < 4; ++e)
    v[e] = pair_of(finished(sums[place_of_pair(e)] + bias[e % 2], to), finished(sums[place_of_pair(e) + 1] + bias[e % 2], to), T());
  if constexpr (is_through_relu<ending>) {
    uint32_t y[4];
    transposition.read_pairs(relu_at, j, y);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      v[e] = through_relu<T>(v[e], y[e]);
      const float2 pair = floats_of(v[e], T());
      if constexpr (ending == Ending::through_relu) totals[e % 2] += pair.x + pair.y;
    }
  }
  transposition.write_pairs(which, j, v);
}

template <class T, int pixels, Ending ending, class Met>
__device__ __forceinline__ void store_outputs(float (&d)[pixels / 2], const Extent& extent, const Destination& to, const Work& work,
                                              Met& meeting) {
  const Transposition& transposition = meeting.transposition;
  T* data = static_cast<T*>(to.data);
  const int row = work.m0 + transposition.thread / 32 * 16 + transposition.thread % 32 / 4;
  float bias[2] = {0, 0}, totals[2] = {0, 0};
  if (to.bias != nullptr)
#pragma unroll
    for (int i = 0; i < 2; ++i)
      if (row + 8 * i < extent.m) bias[i] = to.bias[row + 8 * i];
#pragma unroll
  for (int first = 0; first < pixels; first += chunk) {
    int which = 0, relu_at = 0;
    if constexpr (ending != Ending::plain) {
      const int slot = meeting.arrived();
      which = meeting.before_at(slot);
      relu_at = meeting.relu_at(slot);
    }
#pragma unroll
    for (int j = 0; j < 8; j += 2) finish_pairs<T, ending>(d + 4 * (first / 8 + j), bias, to, transposition, which, relu_at, j, totals);
    sync_group(transposition.group);
#pragma unroll
    for (int i = 0; i < pieces; ++i) {
      const int64_t place =
          place_of(extent, to, work.first_pixel + first + transposition.own_pixel(i), work.m0 + transposition.own_filter());
      if (place >= 0) *reinterpret_cast<uint4*>(data + place) = transposition.own_piece(which, i);
    }
    if constexpr (ending != Ending::plain)
      meeting.ask();
    else
      sync_group(transposition.group);
  }
  if constexpr (ending == Ending::through_relu)
    if (to.totals != nullptr)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        totals[i] = sum_of_four(totals[i]);
        if (transposition.thread % 4 == 0 && row + 8 * i < extent.m)
          to.totals[int64_t{work.first_pixel / pixels} * extent.m + row + 8 * i] = totals[i];
      }
}

// A part of the sums, for add_parts.
template <int pixels>
__device__ __forceinline__ void store_part(const float (&d)[pixels / 2], const Extent& extent, const Destination& to, const Work& work,
                                           int thread) {
  float* data = static_cast<float*>(to.data) + int64_t{work.part} * extent.windows.count * extent.m;
  const int m = work.m0 + thread / 32 * 16 + thread % 32 / 4;
#pragma unroll
  for (int i = 0; i < pixels / 2; ++i) {
    const int at = work.first_pixel + i / 4 * 8 + thread % 4 * 2 + i % 2, row = m + i / 2 % 2 * 8;
    if (at < extent.windows.count && row < extent.m) data[int64_t{at} * extent.m + row] = d[i];
  }
}

}  // namespace fovea::cuda
