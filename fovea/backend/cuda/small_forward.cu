// All convolutions of a small network, with bias, relu and pooling: image by image out of shared memory, several layers in one launch.
#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/cuda/small_launch.cuh"
#include "fovea/backend/cuda/small_memory.cuh"

namespace fovea::cuda {
namespace {

// The 32 pixels of a warp's tile: two matrices of sixteen rows, in halves. Where there is a pool these are the windows of eight pooled
// pixels: their upper and lower rows, and in the halves the first and the last four of them, pixel by pixel.
struct Tile {
  const ConvStage& stage;
  int first, pixels;

  __device__ int place(int matrix, int half, int row) const {
    if (!stage.pool) {
      const Divided at = stage.by_out_w.divide(min(first + matrix * 16 + half * 8 + row, pixels - 1));
      return at.quotient * stage.row_bytes + at.remainder * stage.pitch;
    }
    const Divided at = stage.by_out_w.divide(min(first + half * 4 + row / 2, pixels - 1));
    return (at.quotient * 2 + matrix) * stage.row_bytes + (at.remainder * 2 + row % 2) * stage.pitch;
  }
};

template <class T, int tiles_n>
__device__ __forceinline__ void multiply_tiles(float (&d)[2][tiles_n][4], const uint32_t (&a)[2][4], uint32_t filters, int pitch) {
#pragma unroll
  for (int n = 0; n < tiles_n; n += 2) {
    uint32_t b[4];
    load_matrices(b, filters + n * 8 * pitch);
#pragma unroll
    for (int t = 0; t < 2; ++t) {
      multiply_add(d[t][n], a[t], b[0], b[1], T());
      multiply_add(d[t][n + 1], a[t], b[2], b[3], T());
    }
  }
}

// Where a stage's image and the next one's lie in shared memory.
struct Places {
  int image, next_image;
  const ConvStage* next;  // nullptr behind the last stage
};

template <class T, int tiles_n, bool raw>
__device__ __forceinline__ void compute_tile(const ForwardStage& job, const Tile& tile, int image, int n0, float (&d)[2][tiles_n][4]) {
  const ConvStage& stage = job.stage;
  const int lane = static_cast<int>(threadIdx.x) % 32, steps = stage.steps(), pitch = stage.filter_pitch;
  const uint32_t filters = shared_address(shared_memory() + job.filters_at) + (n0 + lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 16;
  uint32_t a[2][4];
  if constexpr (raw) {
    int row[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) row[i] = image + tile.place(i / 2, i % 2, lane / 4);
    const uint32_t* offsets = reinterpret_cast<const uint32_t*>(shared_memory() + job.offsets_at) + lane % 4;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      const uint32_t low = offsets[step * 8], high = offsets[step * 8 + 4];
      const unsigned char* at[4] = {shared_memory() + (low & 0xFFFFu), shared_memory() + (low >> 16), shared_memory() + (high & 0xFFFFu),
                                    shared_memory() + (high >> 16)};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        a[i / 2][i % 2] = gather_pair(at[0] + row[i], at[1] + row[i]);
        a[i / 2][2 + i % 2] = gather_pair(at[2] + row[i], at[3] + row[i]);
      }
      multiply_tiles<T, tiles_n>(d, a, filters + step * 32, pitch);
    }
  } else {
    const uint32_t from = shared_address(shared_memory()) + image;
    const uint32_t row[2] = {from + tile.place(0, lane / 8 % 2, lane % 8), from + tile.place(1, lane / 8 % 2, lane % 8)};
    const int* offsets = reinterpret_cast<const int*>(shared_memory() + job.offsets_at) + lane / 16;
#pragma unroll 2
    for (int step = 0; step < steps; ++step) {
      const int offset = offsets[step * 2];
      load_matrices(a[0], row[0] + offset);
      load_matrices(a[1], row[1] + offset);
      multiply_tiles<T, tiles_n>(d, a, filters + step * 32, pitch);
    }
  }
}

// Where an output pixel goes.
struct Pixel {
  uint32_t* y;
  uint16_t* routes;
  int next;
  bool exists;
  __device__ void write(const Routed& pair, int k, bool has_routes, bool has_next) const {
    if (!exists) return;
    y[k / 2] = pair.value;
    if (has_routes) routes[k / 2] = pair.route;
    if (has_next) *reinterpret_cast<uint32_t*>(shared_memory() + next + k * 2) = pair.value;
  }
};
__device__ __forceinline__ Pixel pixel_of(const ForwardStage& job, const Places& places, int64_t image, int pixel) {
  const ConvStage& stage = job.stage;
  const int64_t at = image * stage.outputs() + pixel * stage.k;
  Pixel to = {static_cast<uint32_t*>(job.y) + at / 2, reinterpret_cast<uint16_t*>(job.routes) + at / 2, 0,
              pixel < stage.out_h * stage.out_w};
  if (places.next == nullptr) return to;
  const Copy& copy = places.next->image;
  const Divided place = stage.by_out_w.divide(pixel);
  to.next = places.next_image + copy.start + place.quotient * copy.outer + place.remainder * copy.inner;
  return to;
}

// Lanes with the left pixels of windows hold what their neighbours have of the first four windows, those with the right ones of the last
// four.
__device__ __forceinline__ void gather_window(uint32_t (&sums)[4], bool right) {
  constexpr int neighbour = 4;
  const uint32_t upper = __shfl_xor_sync(0xFFFFFFFFu, right ? sums[0] : sums[1], neighbour);
  const uint32_t lower = __shfl_xor_sync(0xFFFFFFFFu, right ? sums[2] : sums[3], neighbour);
  const uint32_t own_upper = right ? sums[1] : sums[0], own_lower = right ? sums[3] : sums[2];
  sums[0] = right ? upper : own_upper;
  sums[1] = right ? own_upper : upper;
  sums[2] = right ? lower : own_lower;
  sums[3] = right ? own_lower : lower;
}

template <class T, int tiles_n, bool pools>
__device__ __forceinline__ void write_tile(const ForwardStage& job, const Places& places, int64_t image, int first, int n0,
                                           const float (&d)[2][tiles_n][4]) {
  constexpr int pixels = pools ? 1 : 4;
  const int lane = static_cast<int>(threadIdx.x) % 32, row = lane / 4, filters = job.stage.k;
  const bool has_routes = job.routes != nullptr, has_next = places.next != nullptr;
  const float* bias = reinterpret_cast<const float*>(shared_memory() + job.bias_at);
  Pixel to[pixels];
#pragma unroll
  for (int i = 0; i < pixels; ++i) to[i] = pixel_of(job, places, image, first + (pools ? row % 2 * 4 + row / 2 : i * 8 + row));
#pragma unroll
  for (int n = 0; n < tiles_n; ++n) {
    if (n0 + n * 8 >= filters) break;
    const int k = n0 + n * 8 + lane % 4 * 2;
    const float2 b = *reinterpret_cast<const float2*>(bias + k);
    uint32_t sums[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[i] = rounded_pair<T>(d[i / 2][n][i % 2 * 2] + b.x, d[i / 2][n][i % 2 * 2 + 1] + b.y);
    if constexpr (pools) gather_window(sums, row % 2 == 1);
    if (k >= filters) break;
    if constexpr (pools) {
      to[0].write(routed<T>(pair_of<T>(sums[0]), pair_of<T>(sums[1]), pair_of<T>(sums[2]), pair_of<T>(sums[3])), k, has_routes, has_next);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) to[i].write(routed<T>(pair_of<T>(sums[i])), k, has_routes, has_next);
    }
  }
}

template <class T, int tiles_n, bool raw>
__device__ void forward_stage(const ForwardStage& job, const Places& places, int64_t image, const Team& team) {
  const ConvStage& stage = job.stage;
  const int pixels = stage.out_h * stage.out_w, per_tile = stage.pool ? 8 : 32;
  const int units_n = stage.filter_rows / (8 * tiles_n), units = (pixels + per_tile - 1) / per_tile * units_n;
  for (int unit = team.warp(); unit < units; unit += team.warps()) {
    const int across = unit / units_n, n0 = (unit - across * units_n) * 8 * tiles_n, first = across * per_tile;
    float d[2][tiles_n][4] = {};
    compute_tile<T, tiles_n, raw>(job, {stage, first, pixels}, places.image, n0, d);
    if (stage.pool)
      write_tile<T, tiles_n, true>(job, places, image, first, n0, d);
    else
      write_tile<T, tiles_n, false>(job, places, image, first, n0, d);
  }
}

template <class T, Width width>
__device__ void any_forward_stage(const ForwardStage& job, const Places& places, int64_t image, const Team& team) {
  if constexpr (width == Width::wide)
    if (job.stage.tiles_n == 4) {
      job.stage.raw ? forward_stage<T, 4, true>(job, places, image, team) : forward_stage<T, 4, false>(job, places, image, team);
      return;
    }
  job.stage.raw ? forward_stage<T, 2, true>(job, places, image, team) : forward_stage<T, 2, false>(job, places, image, team);
}

// What all images of the block have in common.
__device__ void prepare_stage(const ForwardStage& job, const Team& block) {
  unsigned char* const shared = shared_memory();
  const ConvStage& stage = job.stage;
  if (stage.filter_gaps) clear(shared + job.filters_at, stage.filter_bytes(), block);
  if (stage.raw)
    write_raw_offsets(stage, reinterpret_cast<uint16_t*>(shared + job.offsets_at), block);
  else
    write_group_offsets(stage, reinterpret_cast<int*>(shared + job.offsets_at), block);
  float* bias = reinterpret_cast<float*>(shared + job.bias_at);
  for (int k = block.thread; k < stage.k; k += block.threads) bias[k] = job.b[k];
}

template <class T, Width width>
__global__ void __launch_bounds__(image_threads, least_blocks(width)) small_forward(const __grid_constant__ ForwardJob job) {
  unsigned char* const shared = shared_memory();
  const Team block = {static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x), 0}, team = team_of(job.teams);
  const int own = job.team_at + (team.barrier - 1) * job.team_bytes;
  const ConvStage& first = job.stage[0].stage;
  for (int i = 0; i < job.stages; ++i) {
    prepare_stage(job.stage[i], block);
    if (job.stage[i].stage.image_gaps)
      clear(shared + own + job.stage[i].image_at, i == 0 ? 2 * job.raw_bytes : job.stage[i].stage.image_bytes, team);
  }
  __syncthreads();
  const auto load_image = [&](int image, int turn) {
    if (image < job.images)
      copy_async(first.image, static_cast<const T*>(job.x) + static_cast<int64_t>(image) * first.inputs(),
                 shared + own + job.stage[0].image_at + turn % 2 * job.raw_bytes, team);
    end_copies();
  };
  const int step = static_cast<int>(gridDim.x) * job.teams;
  int image = static_cast<int>(blockIdx.x) * job.teams + team.barrier - 1;  // every team has at least one
  for (int i = 0; i < job.stages; ++i) copy_async(job.stage[i].stage.filter, job.stage[i].w, shared + job.stage[i].filters_at, block);
  // The filters were written before the kernel that prepares the data let this one start: only its images are waited for.
  wait_for_kernel_before();
  let_next_kernel_start();
  load_image(image, 0);
  for (int turn = 0; image < job.images; ++turn, image += step) {
    wait_for_copies<0>();
    if (turn == 0)
      __syncthreads();  // the filters are the whole block's
    else
      team.wait();
    load_image(image + step, turn + 1);
    for (int i = 0; i < job.stages; ++i) {
      const ForwardStage& stage = job.stage[i];
      if (i > 0) team.wait();
      const bool last = i + 1 == job.stages;
      any_forward_stage<T, width>(stage,
                                  {own + stage.image_at + (i == 0 ? turn % 2 * job.raw_bytes : 0),
                                   last ? 0 : own + job.stage[i + 1].image_at, last ? nullptr : &job.stage[i + 1].stage},
                                  image, team);
    }
  }
}

}  // namespace

void run_small_forward(const ForwardJob& job, const SmallLaunch& launch) {
  const Grid grid = {std::min(launch.device.multiprocessors * blocks_at_once(job.width), job.images / job.teams), image_threads, job.bytes};
  if (job.width == Width::narrow)
    small_launch<small_forward<BFloat16, Width::narrow>, small_forward<Float16, Width::narrow>>(launch, grid, job);
  else
    small_launch<small_forward<BFloat16, Width::wide>, small_forward<Float16, Width::wide>>(launch, grid, job);
}
}  // namespace fovea::cuda
