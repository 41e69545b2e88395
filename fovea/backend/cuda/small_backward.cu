// Gradients of the images between the convolutions of a small network: image by image out of shared memory, several layers in one launch.
#include "fovea/backend/cuda/small_launch.cuh"
#include "fovea/backend/cuda/small_memory.cuh"

namespace fovea::cuda {
namespace {

template <class T, int tiles_n>
__device__ void backward_stage(const BackwardStage& job, unsigned char* shared, const unsigned char* gradient, T* dx, const Team& team) {
  const ConvStage& stage = job.stage;
  const int lane = team.lane(), pixels = stage.h * stage.w, channels = stage.c, steps = (job.groups() + 1) / 2;
  const int units_n = (stage.line / 8 + tiles_n - 1) / tiles_n, units = (pixels + 31) / 32 * units_n;
  const int* image_offsets = reinterpret_cast<const int*>(shared + job.image_offsets_at) + lane / 16;
  const int* filter_offsets = reinterpret_cast<const int*>(shared + job.filter_offsets_at) + lane / 8 % 2;
  for (int unit = team.warp(); unit < units; unit += team.warps()) {
    const int across = unit / units_n, first = across * 32, n0 = (unit - across * units_n) * 8 * tiles_n;
    uint32_t row[2];
#pragma unroll
    for (int t = 0; t < 2; ++t) {
      const Divided at = stage.image.by_line.divide(min(first + t * 16 + lane % 16, pixels - 1));
      row[t] = shared_address(gradient) + (at.quotient * job.place.columns + at.remainder) * job.place.pitch;
    }
    const uint32_t filter = shared_address(shared + job.filters_at) + lane % 8 * stage.filter_pitch + n0 * 2 + lane / 16 * 16;
    float d[2][tiles_n][4] = {};
#pragma unroll 2
    for (int step = 0; step < steps; ++step) {
      const int offset = image_offsets[2 * step], filter_offset = filter_offsets[2 * step];
      uint32_t a[2][4];
      load_matrices(a[0], row[0] + offset);
      load_matrices(a[1], row[1] + offset);
#pragma unroll
      for (int n = 0; n < tiles_n; n += 2) {
        uint32_t b[4];
        load_transposed(b, filter + filter_offset + n * 16);
#pragma unroll
        for (int t = 0; t < 2; ++t) {
          multiply_add(d[t][n], a[t], b[0], b[1], T());
          multiply_add(d[t][n + 1], a[t], b[2], b[3], T());
        }
      }
    }
#pragma unroll
    for (int n = 0; n < tiles_n; ++n) {
      const int c = n0 + n * 8 + lane % 4 * 2;
      if (c >= channels) break;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int pixel = first + i * 8 + lane / 4;
        if (pixel < pixels)
          *reinterpret_cast<uint32_t*>(dx + pixel * channels + c) = rounded_pair<T>(d[i / 2][n][i % 2 * 2], d[i / 2][n][i % 2 * 2 + 1]);
      }
    }
  }
}

__device__ void prepare_stage(const BackwardStage& job, unsigned char* shared, const Team& block) {
  const ConvStage& stage = job.stage;
  copy_async(stage.filter, job.w, shared + job.filters_at, block);
  int* image_offsets = reinterpret_cast<int*>(shared + job.image_offsets_at);
  int* filter_offsets = reinterpret_cast<int*>(shared + job.filter_offsets_at);
  const int eights = (stage.k + 7) / 8, groups = job.groups();
  for (int g = block.thread; g < (groups + 1) / 2 * 2; g += block.threads) {
    const int tap = g / eights, eight = g - tap * eights, r = tap / stage.s, s = tap - r * stage.s;
    const int flipped = (stage.r - 1 - r) * stage.s + stage.s - 1 - s;
    image_offsets[g] = g < groups ? (r * job.place.columns + s) * job.place.pitch + eight * 16 : 0;
    // An odd number of groups comes from an odd number of eights: then the filters have eight spare rows, of zeros.
    filter_offsets[g] = g < groups ? eight * 8 * stage.filter_pitch + flipped * stage.line * 2 : eights * 8 * stage.filter_pitch;
  }
}

template <class T, Width width>
__global__ void __launch_bounds__(image_threads, least_blocks(width)) small_backward(const __grid_constant__ BackwardJob job) {
  unsigned char* const shared = shared_memory();
  const Team block = {static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x), 0}, team = team_of(job.teams);
  unsigned char* own = shared + job.team_at + (team.barrier - 1) * job.team_bytes;
  clear(shared, job.bytes, block);
  __syncthreads();
  for (int i = 1; i < job.stages; ++i) prepare_stage(job.stage[i], shared, block);
  end_copies();
  wait_for_kernel_before();
  let_next_kernel_start();
  wait_for_copies<0>();
  __syncthreads();
  for (int image = static_cast<int>(blockIdx.x) * job.teams + team.barrier - 1; image < job.images;
       image += static_cast<int>(gridDim.x) * job.teams)
    for (int i = job.stages - 1; i > 0; --i) {
      const BackwardStage& back = job.stage[i];
      const ConvStage& stage = back.stage;
      const int64_t at = static_cast<int64_t>(image) * stage.outputs();
      spread(stage, back.place, reinterpret_cast<const unsigned char*>(static_cast<const T*>(back.dy) + at), back.routes + at,
             own + back.gradient_at, team);
      team.wait();
      T* dx = static_cast<T*>(back.dx) + static_cast<int64_t>(image) * stage.inputs();
      if (width == Width::wide && back.tiles_n == 4)
        backward_stage<T, width == Width::wide ? 4 : 2>(back, shared, own + back.gradient_at, dx, team);
      else
        backward_stage<T, 2>(back, shared, own + back.gradient_at, dx, team);
      team.wait();
    }
}

}  // namespace

void run_small_backward(const BackwardJob& job, const SmallLaunch& launch) {
  const Grid grid = {std::min(launch.device.multiprocessors * blocks_at_once(job.width), job.images / job.teams), image_threads, job.bytes};
  if (job.width == Width::narrow)
    small_launch<small_backward<BFloat16, Width::narrow>, small_backward<Float16, Width::narrow>>(launch, grid, job);
  else
    small_launch<small_backward<BFloat16, Width::wide>, small_backward<Float16, Width::wide>>(launch, grid, job);
}
}  // namespace fovea::cuda
