// The product of patches and filters on the tensor cores: 64 or 128 filters by up to 256 pixels a block, in f32 sums. One warp keeps a ring
// of stages filled with patches and filters, one or two warp groups multiply them; blocks stay for several tiles, so that the copies for
// the next tile run while this one is written.
#pragma once

#include "fovea/backend/cuda/tensor_ending.cuh"
#include "fovea/backend/cuda/tensor_norm_ending.cuh"

namespace fovea::cuda {

constexpr int stage_contraction = 64;  // elements of the contraction that a stage holds
// What a block works on: groups x 64 filters, `pixels` pixels, channels in boxes of `box`.
template <int groups, int pixels, int box, Ending ending>
struct BlockShape {
  static constexpr int boxes = stage_contraction / box;
  static constexpr int filter_box_bytes = group_rows * box * 2, image_box_bytes = pixels * box * 2;
  static constexpr int filter_bytes = groups * boxes * filter_box_bytes;
  static constexpr int stage_bytes = filter_bytes + boxes * image_box_bytes;
  static constexpr int chunk_bytes = chunk * group_rows * 2;
  static constexpr bool is_small = pixels == 128 && (is_of_norm<ending> || ending == Ending::moments);
  static constexpr int blocks_per_sm = groups > 1 ? 1 : is_small ? 3 : 2;
  static constexpr int bytes = shared_bytes_per_sm / blocks_per_sm - 1024;
  static constexpr int chunks = meets_nothing<ending> ? 1 : chunks_that_meet<ending>;  // that a group has in shared memory
  static constexpr int ring_bytes = 128;                                               // behind them
  static constexpr int stages = std::min(8, (bytes - ring_bytes - groups * chunks * chunk_bytes) / stage_bytes);
  static_assert(sizeof(Ring<stages>) <= ring_bytes && stages > 1);
  static constexpr int threads = groups * group_threads + 32;
};

struct Maps {
  CUtensorMap image, filter;
};

template <class Shape, int groups, int box, Inner filter_inner>
__device__ inline void fill_stage(const Maps& maps, const Extent& extent, const Work& work, int round, unsigned char* stage,
                                  Barrier& full) {
  const int3 at = extent.windows.begin(work.first_pixel);
  full.arrive_and_expect(Shape::stage_bytes);
#pragma unroll
  for (int i = 0; i < Shape::boxes; ++i) {
    const int number = (work.first_round + round) * Shape::boxes + i;
    const Divided place = extent.by_blocks.divide(number);
    const Divided rs = extent.by_s.divide(place.quotient);
    const int channel = place.remainder * box, r = rs.quotient, s = rs.remainder;
    const bool beyond = number >= extent.boxes;  // what fills the last stage up: zeros, from beyond the last image and the last tap
    const int tap = beyond ? -1 : extent.first_tap + r * extent.tap_r + s * extent.tap_s;
    const ushort2 offset = beyond ? make_ushort2(0, 0) : make_ushort2(s * extent.dilation_w, r * extent.dilation_h);
    copy_patches(maps.image, full, stage + Shape::filter_bytes + i * Shape::image_box_bytes,
                 make_int4(channel, at.x, at.y, beyond ? 1 << 30 : at.z), offset);
#pragma unroll
    for (int g = 0; g < groups; ++g) {
      unsigned char* to = stage + (g * Shape::boxes + i) * Shape::filter_box_bytes;
      const int row = work.m0 + g * group_rows;
      copy_tile(maps.filter, full, to, filter_inner == Inner::contraction ? make_int3(channel, tap, row) : make_int3(row, tap, channel));
    }
  }
}

template <class T, class Shape, int pixels, int box, Inner filter_inner>
__device__ __forceinline__ void multiply_stage(float (&d)[pixels / 2], const unsigned char* filter, const unsigned char* image) {
#pragma unroll
  for (int i = 0; i < Shape::boxes; ++i)
#pragma unroll
    for (int j = 0; j < box / 16; ++j) {
      const unsigned char *a = filter + i * Shape::filter_box_bytes, *b = image + i * Shape::image_box_bytes + j * 32;
      const uint64_t of_a = filter_inner == Inner::contraction
                                ? operand<box * 2>(a + j * 32, 16, 8 * box * 2)
                                : operand<group_rows * 2>(a + j * 16 * group_rows * 2, 16, 8 * group_rows * 2);
      Wgmma<T, pixels, filter_inner, Inner::contraction>::add(d, of_a, operand<box * 2>(b, 16, 8 * box * 2), 1);
    }
}

template <class T, int groups, int pixels, int box, Inner filter_inner, Ending ending>
__global__ void __launch_bounds__(BlockShape<groups, pixels, box, ending>::threads, BlockShape<groups, pixels, box, ending>::blocks_per_sm)
    conv2d_tiles(const __grid_constant__ Maps maps, const __grid_constant__ Extent extent, const __grid_constant__ Destination to) {
  using Shape = BlockShape<groups, pixels, box, ending>;
  constexpr int stages = Shape::stages;
  extern __shared__ unsigned char raw[];
  unsigned char* stage_memory = first_pattern(raw);
  if (stage_memory != raw) __trap();  // nothing else is in shared memory: it begins where a pattern may
  unsigned char* chunk_memory = stage_memory + stages * Shape::stage_bytes;
  auto& ring = *reinterpret_cast<Ring<stages>*>(chunk_memory + groups * Shape::chunks * Shape::chunk_bytes);
  if (threadIdx.x == 0) ring.init(groups);
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / 32, units = extent.tiles * extent.parts;
  RingPlace place;
  if (warp == groups * 4) {
    if (threadIdx.x % 32 != 0) return;
    prefetch(maps.image);
    prefetch(maps.filter);
    for (int unit = static_cast<int>(blockIdx.x); unit < units; unit += static_cast<int>(gridDim.x)) {
      const Work work(extent, unit, groups * group_rows, pixels, Shape::boxes);
      for (int round = 0; round < work.rounds; ++round, place.advance(stages)) {
        ring.empty[place.stage].wait(place.parity ^ 1);
        fill_stage<Shape, groups, box, filter_inner>(maps, extent, work, round, stage_memory + place.stage * Shape::stage_bytes,
                                                     ring.full[place.stage]);
      }
    }
    return;
  }
  const int group = warp / 4, thread = static_cast<int>(threadIdx.x) % group_threads;
  const Transposition transposition = {chunk_memory + group * Shape::chunks * Shape::chunk_bytes, group, thread};
  Meeting<T, groups, pixels, Shape::boxes, ending> meeting(extent, to, transposition);
  NormRows<ending> norm_rows;
  if constexpr (!meets_nothing<ending>)
#pragma unroll
    for (int slot = 0; slot < meeting.slots; ++slot) meeting.ask();
  for (int unit = static_cast<int>(blockIdx.x); unit < units; unit += static_cast<int>(gridDim.x)) {
    Work work(extent, unit, groups * group_rows, pixels, Shape::boxes);
    work.m0 += group * group_rows;
    float d[pixels / 2];
#pragma unroll
    for (int i = 0; i < pixels / 2; ++i) d[i] = 0;
    for (int round = 0; round < work.rounds; ++round, place.advance(stages)) {
      ring.full[place.stage].wait(place.parity);
      const unsigned char* stage = stage_memory + place.stage * Shape::stage_bytes;
      wgmma_fence();
      multiply_stage<T, Shape, pixels, box, filter_inner>(d, stage + group * Shape::boxes * Shape::filter_box_bytes,
                                                          stage + Shape::filter_bytes);
      wgmma_commit();
      if (round > 0) {
        wgmma_wait<1>();  // the stage before is read
        if (thread == 0) ring.empty[place.before(stages)].arrive();
      }
    }
    wgmma_wait<0>();
    if (thread == 0 && work.rounds > 0) ring.empty[place.before(stages)].arrive();
    if (to.moments != nullptr) {
      float* moments = to.moments + int64_t{work.first_pixel / pixels} * 2 * extent.m;
      store_moments<T, pixels>(d, {moments, extent.m, work.m0, min(pixels, extent.windows.count - work.first_pixel)}, thread);
    }
    if constexpr (is_of_norm<ending>)
      store_through_norm<T, pixels, ending>(d, extent, to, work, norm_rows, meeting);
    else if (ending == Ending::plain && extent.parts > 1)
      store_part<pixels>(d, extent, to, work, thread);
    else if constexpr (ending != Ending::moments)
      store_outputs<T, pixels, ending>(d, extent, to, work, meeting);
  }
}

// ---- host ----

struct Choice {
  int groups = 1, pixels = 256, box = 64, parts = 1, rounds_per_part = 1;
  Ending ending = Ending::plain;  // of the tiles; where the sum is in parts, those who add them up meet what there is
};

inline Maps maps_of(const PatchProduct& product, const Choice& choice, DType dtype, const void* image, const void* filter) {
  const bool by_output = product.filter == PatchProduct::Filter::by_output;
  const int64_t sizes[] = {by_output ? product.windows.c : product.m, product.taps, by_output ? product.m : product.windows.c};
  const int tile[] = {by_output ? choice.box : group_rows, 1, by_output ? group_rows : choice.box};
  Windows windows = product.windows;
  if (product.r == 0) windows.p = windows.q = 1;  // none of them is fetched
  return {map_of_patches(image, dtype, windows, choice.pixels, choice.box), map_of_tiles(filter, dtype, sizes, tile)};
}

inline Extent extent_of(const PatchProduct& product, const Choice& choice) {
  const int blocks = static_cast<int>(ceil_of(product.windows.c, choice.box));
  const int tiles_m = static_cast<int>(ceil_of(product.m, choice.groups * group_rows));
  return {.windows = WindowOrder(product.windows),
          .by_s = Divider(std::max(1, product.s)),
          .by_blocks = Divider(blocks),
          .dilation_h = product.dilation_h,
          .dilation_w = product.dilation_w,
          .first_tap = product.first_tap,
          .tap_r = product.tap_r,
          .tap_s = product.tap_s,
          .boxes = product.r * product.s * blocks,
          .m = product.m,
          .tiles_m = tiles_m,
          .tiles = tiles_m * static_cast<int>(ceil_of(product.windows.count(), choice.pixels)),
          .parts = choice.parts,
          .rounds_per_part = choice.rounds_per_part};
}

template <class T, int groups, int pixels, int box, Inner filter_inner, Ending ending>
void launch_tiles(const Maps& maps, const Extent& extent, const Destination& to, const Launch& launch) {
  using Shape = BlockShape<groups, pixels, box, ending>;
  const auto kernel = conv2d_tiles<T, groups, pixels, box, filter_inner, ending>;
  static const bool prepared = [&] {
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::bytes), "cudaFuncSetAttribute");
    return true;
  }();
  static_cast<void>(prepared);
  const int blocks = std::min(extent.tiles * extent.parts, planned_multiprocessors * Shape::blocks_per_sm);
  kernel<<<static_cast<unsigned>(blocks), Shape::threads, Shape::bytes, launch.stream>>>(maps, extent, to);
  check_launch("conv2d_tiles");
}

}  // namespace fovea::cuda
