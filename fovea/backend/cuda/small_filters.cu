// Gradients of the filters and matrices of a small network, all in one launch, in parts over the images that are added up afterwards.
#include "fovea/backend/cuda/small_launch.cuh"
#include "fovea/backend/cuda/small_memory.cuh"

namespace fovea::cuda {
namespace {

constexpr int few_columns = 4;  // of an image with few channels
constexpr int filter_warps = filter_threads / 32;
constexpr int sum_bytes = (filter_columns + 1) * 32 * 16;  // of a warp with 16 filters

// ---- filters: a warp sums up 32 filters by filter_columns matrices of eight numbers of the contraction ----

struct FilterSums {
  float d[2][filter_columns][4] = {}, bias[2][4] = {};
};

// Which filters, which groups of the contraction and which of the splits are a warp's.
struct FilterUnit {
  int m0, first_group, columns, split;
  bool works, has_second, has_bias;
};
__device__ FilterUnit unit_of(const FilterStage& job, int unit_block, int warp) {
  const int unit = unit_block * (filter_warps / job.splits) + warp / job.splits, groups = job.stage.groups();
  const int column_blocks = (groups + filter_columns - 1) / filter_columns, across = unit / column_blocks;
  const int first_group = (unit - across * column_blocks) * filter_columns;
  return {across * 32,       first_group,      min(filter_columns, groups - first_group),
          warp % job.splits, unit < job.units, across * 32 + 16 < job.stage.k,
          first_group == 0};
}

// The gradients of sixteen pixels by the images, which lie as in memory or as pixels of `line` channels. What the loops need is in
// registers: behind every load from shared memory the compiler would read the job again.
template <class T>
struct FilterProduct {
  uint32_t gradient;  // address of this lane's row
  int gradient_pitch, gradient_bytes, image_bytes, steps, split, splits;
  const uint16_t* pixels;
  int place[filter_columns];

  __device__ FilterProduct(const FilterStage& job, const FilterUnit& unit)
      : gradient_pitch(job.place.pitch),
        gradient_bytes(job.place.bytes),
        image_bytes(job.stage.image_bytes),
        steps(job.steps),
        split(unit.split),
        splits(job.splits) {
    const int lane = static_cast<int>(threadIdx.x) % 32, groups = job.stage.groups();
    const bool raw = job.stage.raw;
    const uint16_t* offsets = reinterpret_cast<const uint16_t*>(shared_memory() + job.offsets_at);
    pixels = reinterpret_cast<const uint16_t*>(shared_memory() + job.pixels_at) + (raw ? lane % 4 * 2 : lane % 16);
    gradient =
        shared_address(shared_memory() + job.gradient_at) + (lane / 16 * 8 + lane % 8) * gradient_pitch + (unit.m0 + lane / 8 % 2 * 8) * 2;
#pragma unroll
    for (int j = 0; j < filter_columns; ++j) {
      const int group = unit.first_group + (raw ? j : j / 2 * 2 + lane / 16);
      place[j] = group >= groups ? 0 : offsets[raw ? group * 8 + lane / 4 : group];
    }
  }

  template <bool second>
  __device__ __forceinline__ void load_gradients(FilterSums& sums, uint32_t (&a)[2][4], uint32_t row) const {
    load_transposed(a[0], row);
    if (second) load_transposed(a[1], row + 32);
    multiply_add(sums.bias[0], a[0], Pairs<T>::ones, Pairs<T>::ones, T());
    if (second) multiply_add(sums.bias[1], a[1], Pairs<T>::ones, Pairs<T>::ones, T());
  }

  template <bool second, int columns>
  __device__ __forceinline__ void add_raw(FilterSums& sums, int x, uint32_t row, int step) const {
    uint32_t a[2][4];
    const uint32_t low = *reinterpret_cast<const uint32_t*>(pixels + step * 16),
                   high = *reinterpret_cast<const uint32_t*>(pixels + step * 16 + 8);
    load_gradients<second>(sums, a, row);
    const unsigned char* at = shared_memory() + x;
    const unsigned char* pixel[4] = {at + (low & 0xFFFFu), at + (low >> 16), at + (high & 0xFFFFu), at + (high >> 16)};
#pragma unroll
    for (int j = 0; j < columns; ++j) {
      const uint32_t b0 = gather_pair(pixel[0] + place[j], pixel[1] + place[j]), b1 = gather_pair(pixel[2] + place[j], pixel[3] + place[j]);
      multiply_add(sums.d[0][j], a[0], b0, b1, T());
      if (second) multiply_add(sums.d[1][j], a[1], b0, b1, T());
    }
  }

  template <bool second>
  __device__ __forceinline__ void add_lines(FilterSums& sums, int x, uint32_t row, int step) const {
    uint32_t a[2][4], b[4];
    const uint32_t line = shared_address(shared_memory()) + x + pixels[step * 16];
    load_gradients<second>(sums, a, row);
#pragma unroll
    for (int j = 0; j < filter_columns; ++j) {
      if (j % 2 == 0) load_transposed(b, line + place[j]);
      multiply_add(sums.d[0][j], a[0], b[j % 2 * 2], b[j % 2 * 2 + 1], T());
      if (second) multiply_add(sums.d[1][j], a[1], b[j % 2 * 2], b[j % 2 * 2 + 1], T());
    }
  }

  enum class Way : uint8_t { lines, raw, raw_few };
  template <bool second, Way way>
  __device__ void add_images(FilterSums& sums, int x, int images) const {
    for (int image = 0, step = split; image < images;) {
      if (step >= steps) {
        step -= steps;
        ++image;
        continue;
      }
      const int from = x + image * image_bytes;
      const uint32_t row = gradient + image * gradient_bytes + step * 16 * gradient_pitch;
      if constexpr (way == Way::lines) add_lines<second>(sums, from, row, step);
      if constexpr (way == Way::raw_few) add_raw<second, few_columns>(sums, from, row, step);
      if constexpr (way == Way::raw) add_raw<second, filter_columns>(sums, from, row, step);
      step += splits;
    }
  }
  template <bool second>
  __device__ void add(FilterSums& sums, const FilterStage& job, const FilterUnit& unit, int x, int images) const {
    if (!job.stage.raw)
      add_images<second, Way::lines>(sums, x, images);
    else if (unit.columns <= few_columns)
      add_images<second, Way::raw_few>(sums, x, images);
    else
      add_images<second, Way::raw>(sums, x, images);
  }
};

// The splits of a unit are added up through shared memory, in their order.
__device__ void join_splits(const FilterStage& job, const FilterUnit& unit, FilterSums& sums, unsigned char* shared) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int t = 0; t < 2; ++t) {
    __syncthreads();
    float4* own = reinterpret_cast<float4*>(shared + warp * sum_bytes) + lane;
#pragma unroll
    for (int j = 0; j < filter_columns; ++j) own[j * 32] = *reinterpret_cast<const float4*>(sums.d[t][j]);
    own[filter_columns * 32] = *reinterpret_cast<const float4*>(sums.bias[t]);
    __syncthreads();
    if (unit.split > 0) continue;
    for (int other = 1; other < job.splits; ++other) {
      const float4* of_other = reinterpret_cast<const float4*>(shared + (warp + other) * sum_bytes) + lane;
#pragma unroll
      for (int j = 0; j <= filter_columns; ++j) {
        const float4 v = of_other[j * 32];
        float(&to)[4] = j < filter_columns ? sums.d[t][j] : sums.bias[t];
        to[0] += v.x;
        to[1] += v.y;
        to[2] += v.z;
        to[3] += v.w;
      }
    }
  }
}

__device__ void write_sums(const FilterStage& job, const FilterUnit& unit, const FilterSums& sums, int chunk) {
  const ConvStage& stage = job.stage;
  const int lane = static_cast<int>(threadIdx.x) % 32, groups = stage.groups();
  float* to = job.parts + static_cast<int64_t>(chunk) * stage.k * groups * 8;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int k = unit.m0 + i * 8 + lane / 4;
    if (k >= stage.k) break;
#pragma unroll
    for (int j = 0; j < filter_columns; ++j) {
      if (j >= unit.columns) break;
      const float* pair = &sums.d[i / 2][j][i % 2 * 2];
      *reinterpret_cast<float2*>(to + (k * groups + unit.first_group + j) * 8 + lane % 4 * 2) = make_float2(pair[0], pair[1]);
    }
    if (unit.has_bias && lane % 4 == 0) job.bias_parts[chunk * stage.k + k] = sums.bias[i / 2][i % 2 * 2];
  }
}

__device__ void prepare(const FilterStage& job, unsigned char* shared, const Team& block) {
  const ConvStage& stage = job.stage;
  clear(shared, job.bytes, block);
  __syncthreads();
  uint16_t *offsets = reinterpret_cast<uint16_t*>(shared + job.offsets_at), *pixels = reinterpret_cast<uint16_t*>(shared + job.pixels_at);
  if (stage.raw) {
    write_raw_offsets(stage, offsets, block);
  } else {
    const int eights = stage.line / 8;
    for (int g = block.thread; g < stage.groups(); g += block.threads) {
      const int tap = g / eights, r = tap / stage.s, s = tap - r * stage.s;
      offsets[g] = static_cast<uint16_t>(r * stage.row_bytes + s * stage.pitch + (g - tap * eights) * 16);
    }
  }
  for (int i = block.thread; i < job.pixels; i += block.threads) {
    const int p = i / job.columns;
    pixels[i] = static_cast<uint16_t>(p * stage.row_bytes + (i - p * job.columns) * stage.pitch);
  }
}

template <class T>
__device__ void sum_filters(const FilterJob& jobs, const FilterStage& job, unsigned char* shared, const Team& block) {
  const ConvStage& stage = job.stage;
  const int within = static_cast<int>(blockIdx.x) - job.first_block, chunk = within / job.unit_blocks;
  prepare(job, shared, block);
  wait_for_kernel_before();
  let_next_kernel_start();
  __syncthreads();
  const FilterUnit unit = unit_of(job, within - chunk * job.unit_blocks, block.warp());
  const FilterProduct<T> product(job, unit);
  FilterSums sums;
  const int first = chunk * job.images_per_chunk, last = min(first + job.images_per_chunk, jobs.images);
  const auto load = [&](int image, int turn) {
    const int count = min(job.together, last - image);
    if (count > 0) {
      const int64_t outputs = static_cast<int64_t>(image) * stage.outputs();
      copy_async(stage.image, static_cast<const T*>(job.x) + static_cast<int64_t>(image) * stage.inputs(),
                 shared + job.image_at + turn % 2 * job.together * stage.image_bytes, block, count);
      copy_async(job.gradients, static_cast<const T*>(job.dy) + outputs, shared + job.dy_at, block, count);
      copy_async(job.pooled_routes, job.routes + outputs, shared + job.routes_at, block, count);
    }
    end_copies();
  };
  load(first, 0);
  for (int image = first, turn = 0; image < last; image += job.together, ++turn) {
    const int count = min(job.together, last - image);
    wait_for_copies<0>();
    __syncthreads();
    for (int i = 0; i < count; ++i)
      spread(stage, job.place, shared + job.dy_at + i * job.gradients.image_bytes,
             shared + job.routes_at + i * job.pooled_routes.image_bytes, shared + job.gradient_at + i * job.place.bytes, block);
    __syncthreads();
    load(image + job.together, turn + 1);
    if (unit.works) {
      const int x = job.image_at + turn % 2 * job.together * stage.image_bytes;
      unit.has_second ? product.template add<true>(sums, job, unit, x, count) : product.template add<false>(sums, job, unit, x, count);
    }
  }
  if (job.splits > 1) join_splits(job, unit, sums, shared);
  if (unit.works && unit.split == 0) write_sums(job, unit, sums, chunk);
}

// ---- matrices: 64 x 64 elements a block ----

constexpr int matrix_tile = 64, matrix_pitch = matrix_tile * 2 + 16, images_at_once = 64;

// (64 lines, 64 columns), zeros beyond.
template <class T>
__device__ void load_lines(const T* from, int lines, int width, int first, unsigned char* to) {
  if (width % 8 == 0) {
    for (int i = static_cast<int>(threadIdx.x); i < images_at_once * 8; i += filter_threads) {
      const int line = i / 8, column = first + i % 8 * 8;
      uint4 v = make_uint4(0, 0, 0, 0);
      if (line < lines && column < width) v = *reinterpret_cast<const uint4*>(from + static_cast<int64_t>(line) * width + column);
      *reinterpret_cast<uint4*>(to + line * matrix_pitch + i % 8 * 16) = v;
    }
    return;
  }
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < images_at_once * matrix_tile; i += filter_threads) {
    const int line = i / matrix_tile, column = first + i % matrix_tile;
    *reinterpret_cast<T*>(to + line * matrix_pitch + i % matrix_tile * 2) =
        line < lines && column < width ? from[static_cast<int64_t>(line) * width + column] : T(0.0f);
  }
}

template <class T>
__device__ void sum_matrix(const FilterJob& jobs, const MatrixStage& job, unsigned char* shared) {
  unsigned char *dy = shared, *x = shared + images_at_once * matrix_pitch;
  const int within = static_cast<int>(blockIdx.x) - job.first_block, tiles = job.tiles_c * job.tiles_k, part = within / tiles;
  const int tile = within - part * tiles, k0 = tile % job.tiles_k * matrix_tile, c0 = tile / job.tiles_k * matrix_tile;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, m0 = warp / 2 * 16, n0 = warp % 2 * 32;
  const int end = min((part + 1) * jobs.images_per_part, jobs.images);
  float d[4][4] = {}, bias = 0;
  wait_for_kernel_before();
  let_next_kernel_start();
  for (int first = part * jobs.images_per_part; first < end; first += images_at_once) {
    const int lines = min(images_at_once, end - first);
    load_lines(static_cast<const T*>(job.dy) + static_cast<int64_t>(first) * job.k, lines, job.k, k0, dy);
    load_lines(static_cast<const T*>(job.x) + static_cast<int64_t>(first) * job.c, lines, job.c, c0, x);
    __syncthreads();
#pragma unroll
    for (int step = 0; step < images_at_once / 16; ++step) {
      uint32_t a[4];
      load_transposed(a, shared_address(dy) + (step * 16 + lane / 16 * 8 + lane % 8) * matrix_pitch + (m0 + lane / 8 % 2 * 8) * 2);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        uint32_t b[4];
        load_transposed(b, shared_address(x) + (step * 16 + lane % 16) * matrix_pitch + (n0 + j * 16 + lane / 16 * 8) * 2);
        multiply_add(d[2 * j], a, b[0], b[1], T());
        multiply_add(d[2 * j + 1], a, b[2], b[3], T());
      }
    }
    if (c0 == 0 && threadIdx.x < matrix_tile)
      for (int line = 0; line < lines; ++line)
        bias += widened(*reinterpret_cast<const T*>(dy + line * matrix_pitch + static_cast<int>(threadIdx.x) * 2));
    __syncthreads();
  }
  float* to = job.parts + static_cast<int64_t>(part) * job.k * job.c;
#pragma unroll
  for (int j = 0; j < 4; ++j)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int k = k0 + m0 + lane / 4 + e / 2 * 8, c = c0 + n0 + j * 8 + lane % 4 * 2 + e % 2;
      if (k < job.k && c < job.c) to[k * job.c + c] = d[j][e];
    }
  const int k = k0 + static_cast<int>(threadIdx.x);
  if (c0 == 0 && threadIdx.x < matrix_tile && k < job.k) job.bias_parts[part * job.k + k] = bias;
}

template <class T>
__global__ void __launch_bounds__(filter_threads, 2) small_filters(const __grid_constant__ FilterJob job) {
  unsigned char* const shared = shared_memory();
  const int number = static_cast<int>(blockIdx.x);
  if (number >= job.first_matrix_block) {
    int i = 0;
    while (i + 1 < job.matrices && number >= job.matrix[i + 1].first_block) ++i;
    sum_matrix<T>(job, job.matrix[i], shared);
    return;
  }
  int i = 0;
  while (i + 1 < job.stages && number >= job.stage[i + 1].first_block) ++i;
  sum_filters<T>(job, job.stage[i], shared, {static_cast<int>(threadIdx.x), filter_threads, 0});
}

}  // namespace

int filter_block_bytes(const FilterStage& stage) { return std::max(stage.bytes, stage.splits > 1 ? filter_warps * sum_bytes : 0); }
int matrix_block_bytes() { return 2 * images_at_once * matrix_pitch; }

void run_small_filters(const FilterJob& job, const SmallLaunch& launch) {
  small_launch<small_filters<BFloat16>, small_filters<Float16>>(launch, {job.blocks, filter_threads, job.bytes}, job);
}
}  // namespace fovea::cuda
