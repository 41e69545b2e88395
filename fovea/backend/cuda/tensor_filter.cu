// The gradient of filters on the tensor cores: 64 or 128 filters by 192 elements of them (three boxes of 64 channels of a tap, or six of
// 32), the sum over all pixels cut into parts where there are fewer such blocks than multiprocessors. Both operands have the pixels, over
// which is summed, as their outer axis.
#include "fovea/backend/cuda/tensor_product.h"
#include "fovea/backend/cuda/tensor_tiles.cuh"

namespace fovea::cuda {
namespace {

constexpr int stage_pixels = 64;

template <int groups, int columns, int box>
struct BlockShape {
  static constexpr int boxes = columns / box;
  static constexpr int gradient_box_bytes = stage_pixels * group_rows * 2, image_box_bytes = stage_pixels * box * 2;
  static constexpr int gradient_bytes = groups * gradient_box_bytes;
  static constexpr int stage_bytes = gradient_bytes + boxes * image_box_bytes;
  static constexpr int blocks_per_sm = groups == 1 ? 2 : 1;
  static constexpr int stages = std::min(8, (shared_bytes_per_sm / blocks_per_sm - pattern_bytes - 1024) / stage_bytes);
  static constexpr int bytes = pattern_bytes + stages * stage_bytes;
  static constexpr int threads = groups * group_threads + 32;
};

struct Maps {
  CUtensorMap image, gradient;
};

struct Extent {
  WindowOrder windows;
  int s = 1, dilation_h = 1, dilation_w = 1;
  int blocks = 0;             // of channels: boxes for each tap
  int boxes = 0;              // for all taps
  int c = 0, k = 0, row = 0;  // row = r s c, elements of a filter
  int tiles_m = 0, tiles_n = 0, parts = 1, rounds = 0;
};

struct Work {
  int k0, first_box, boxes, begin, end;  // of its filters, of its boxes, of the rounds over the pixels
  int part;
  __device__ Work(const Extent& extent, int rows, int boxes_of_tile) {
    const int tiles = extent.tiles_m * extent.tiles_n, tile = static_cast<int>(blockIdx.x) % tiles;
    part = static_cast<int>(blockIdx.x) / tiles;
    k0 = tile % extent.tiles_m * rows;
    first_box = tile / extent.tiles_m * boxes_of_tile;
    boxes = min(boxes_of_tile, extent.boxes - first_box);
    begin = static_cast<int>(int64_t{extent.rounds} * part / extent.parts);
    end = static_cast<int>(int64_t{extent.rounds} * (part + 1) / extent.parts);
  }
};

template <class Shape, int groups, int box>
__device__ inline void fill_stages(const Maps& maps, const Extent& extent, const Work& work, unsigned char* memory,
                                   Ring<Shape::stages>& ring) {
  int channel[Shape::boxes];
  ushort2 offset[Shape::boxes];
#pragma unroll
  for (int i = 0; i < Shape::boxes; ++i) {
    const int number = work.first_box + i, tap = number / extent.blocks;
    channel[i] = (number - tap * extent.blocks) * box;
    offset[i] = make_ushort2(tap % extent.s * extent.dilation_w, tap / extent.s * extent.dilation_h);
  }
  RingPlace place;
  for (int round = work.begin; round < work.end; ++round, place.advance(Shape::stages)) {
    const int3 at = extent.windows.begin(round * stage_pixels);
    unsigned char* stage = memory + place.stage * Shape::stage_bytes;
    Barrier& full = ring.full[place.stage];
    ring.empty[place.stage].wait(place.parity ^ 1);
    full.arrive_and_expect(Shape::gradient_bytes + work.boxes * Shape::image_box_bytes);
#pragma unroll
    for (int g = 0; g < groups; ++g)
      copy_tile(maps.gradient, full, stage + g * Shape::gradient_box_bytes, make_int2(work.k0 + g * group_rows, round * stage_pixels));
#pragma unroll
    for (int i = 0; i < Shape::boxes; ++i)
      if (i < work.boxes)
        copy_patches(maps.image, full, stage + Shape::gradient_bytes + i * Shape::image_box_bytes, make_int4(channel[i], at.x, at.y, at.z),
                     offset[i]);
  }
}

template <int columns, int box>
__device__ __forceinline__ void store_sums(const float (&d)[columns / 2], const Extent& extent, const Work& work, float* out, Into into) {
  const int thread = static_cast<int>(threadIdx.x), group = thread / group_threads;
  const int k = work.k0 + group * group_rows + thread % group_threads / 32 * 16 + thread % 32 / 4;
#pragma unroll
  for (int j = 0; j < columns / 8; ++j) {
    if (j * 8 / box >= work.boxes) break;
    const int number = work.first_box + j * 8 / box, tap = number / extent.blocks;
    const int c = (number - tap * extent.blocks) * box + j * 8 % box + thread % 4 * 2;
    if (c >= extent.c) continue;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (k + 8 * i >= extent.k) continue;
      float2* to = reinterpret_cast<float2*>(out + int64_t{k + 8 * i} * extent.row + tap * extent.c + c);
      const float2 before = into == Into::add ? *to : make_float2(0, 0);
      *to = make_float2(before.x + d[4 * j + 2 * i], before.y + d[4 * j + 2 * i + 1]);
    }
  }
}

// out: the filter, or with several parts (parts, k, r, s, c).
template <class T, int groups, int columns, int box>
__global__ void __launch_bounds__(BlockShape<groups, columns, box>::threads, BlockShape<groups, columns, box>::blocks_per_sm)
    filter_tiles(const __grid_constant__ Maps maps, const __grid_constant__ Extent extent, float* out, Into into) {
  using Shape = BlockShape<groups, columns, box>;
  constexpr int stages = Shape::stages;
  extern __shared__ unsigned char raw[];
  unsigned char* memory = first_pattern(raw);
  __shared__ Ring<stages> ring;
  if (threadIdx.x == 0) ring.init(groups);
  __syncthreads();
  const Work work(extent, groups * group_rows, Shape::boxes);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (warp == groups * 4) {
    if (threadIdx.x % 32 != 0) return;
    prefetch(maps.image);
    prefetch(maps.gradient);
    fill_stages<Shape, groups, box>(maps, extent, work, memory, ring);
    return;
  }
  float d[columns / 2];
#pragma unroll
  for (int i = 0; i < columns / 2; ++i) d[i] = 0;
  RingPlace place;
  for (int round = work.begin; round < work.end; ++round, place.advance(stages)) {
    ring.full[place.stage].wait(place.parity);
    const unsigned char* gradient = memory + place.stage * Shape::stage_bytes + warp / 4 * Shape::gradient_box_bytes;
    const unsigned char* image = memory + place.stage * Shape::stage_bytes + Shape::gradient_bytes;
    wgmma_fence();
#pragma unroll
    for (int j = 0; j < stage_pixels / 16; ++j)
      Wgmma<T, columns, Inner::other, Inner::other>::add(
          d, operand<group_rows * 2>(gradient + j * 16 * group_rows * 2, Shape::gradient_box_bytes, 8 * group_rows * 2),
          operand<box * 2>(image + j * 16 * box * 2, Shape::image_box_bytes, 8 * box * 2), 1);
    wgmma_commit();
    if (round > work.begin) {
      wgmma_wait<1>();  // the stage before is read
      if (threadIdx.x % group_threads == 0) ring.empty[place.before(stages)].arrive();
    }
  }
  wgmma_wait<0>();
  store_sums<columns, box>(d, extent, work, out + int64_t{work.part} * extent.k * extent.row, into);
}

// Adds the parts up in their order.
__global__ void __launch_bounds__(block_threads) add_parts(const float* parts, int count, int64_t elements, float* out, Into into) {
  const int64_t i = (int64_t{blockIdx.x} * block_threads + threadIdx.x) * 4;
  if (i >= elements) return;
  float4 sum = into == Into::add ? *reinterpret_cast<const float4*>(out + i) : make_float4(0, 0, 0, 0);
#pragma unroll 8
  for (int part = 0; part < count; ++part) {
    const float4 of_part = *reinterpret_cast<const float4*>(parts + part * elements + i);
    sum.x += of_part.x;
    sum.y += of_part.y;
    sum.z += of_part.z;
    sum.w += of_part.w;
  }
  *reinterpret_cast<float4*>(out + i) = sum;
}

// ---- host ----

constexpr int tile_columns = 192;    // 9 taps of any number of channels are whole tiles
constexpr int64_t least_rounds = 8;  // of a part: 512 pixels
constexpr int64_t most_parts_bytes = int64_t{64} << 20;

template <class T, int groups, int box>
void launch_tiles(const Maps& maps, const Extent& extent, float* out, Into into, const Launch& launch) {
  using Shape = BlockShape<groups, tile_columns, box>;
  const auto kernel = filter_tiles<T, groups, tile_columns, box>;
  static const bool prepared = [&] {
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::bytes), "cudaFuncSetAttribute");
    return true;
  }();
  static_cast<void>(prepared);
  kernel<<<static_cast<unsigned>(extent.tiles_m * extent.tiles_n * extent.parts), Shape::threads, Shape::bytes, launch.stream>>>(
      maps, extent, out, into);
  check_launch("filter_tiles");
}

using Launcher = void (*)(const Maps&, const Extent&, float*, Into, const Launch&);
template <class T>
Launcher launcher_of(int groups, int box) {
  if (groups == 2) return box == 64 ? launch_tiles<T, 2, 64> : launch_tiles<T, 2, 32>;
  return box == 64 ? launch_tiles<T, 1, 64> : launch_tiles<T, 1, 32>;
}

class FilterKernel final : public Kernel {
 public:
  FilterKernel(const FilterProduct& product, DType dtype, Into into)
      : Kernel("cuda"),
        product_(product),
        dtype_(dtype),
        into_(into),
        groups_(product.k > group_rows ? 2 : 1),
        box_(product.windows.c > 32 ? 64 : 32),
        extent_{.windows = WindowOrder(product.windows)} {
    const int blocks = static_cast<int>(ceil_of(product.windows.c, box_));
    extent_.s = product.s;
    extent_.dilation_h = product.dilation_h;
    extent_.dilation_w = product.dilation_w;
    extent_.blocks = blocks;
    extent_.boxes = product.r * product.s * blocks;
    extent_.c = product.windows.c;
    extent_.k = product.k;
    extent_.row = product.r * product.s * product.windows.c;
    extent_.tiles_m = static_cast<int>(ceil_of(product.k, groups_ * group_rows));
    extent_.tiles_n = static_cast<int>(ceil_of(extent_.boxes, tile_columns / box_));
    extent_.rounds = static_cast<int>(ceil_of(product.windows.count(), stage_pixels));
    const int64_t slots = int64_t{planned_multiprocessors} * (groups_ == 1 ? 2 : 1), tiles = int64_t{extent_.tiles_m} * extent_.tiles_n;
    extent_.parts = static_cast<int>(std::max<int64_t>(
        1, std::min({slots / tiles, extent_.rounds / least_rounds, most_parts_bytes / (elements() * int64_t{sizeof(float)})})));
  }

  std::string algorithm() const override {
    const std::string text = "tensor cores, " + std::to_string(groups_ * group_rows) + "x" + std::to_string(tile_columns) + " tiles";
    return extent_.parts > 1 ? text + ", sum in " + std::to_string(extent_.parts) + " parts" : text;
  }
  size_t workspace_bytes() const override {
    return extent_.parts > 1 ? static_cast<size_t>(extent_.parts * elements()) * sizeof(float) : 0;
  }
  void bind(Buffers buffers, void* workspace) override {
    const int64_t sizes[] = {product_.k, product_.windows.count()};
    const int tile[] = {group_rows, stage_pixels};
    maps_ = {map_of_patches(buffers.in[0].data, dtype_, product_.windows, stage_pixels, box_),
             map_of_tiles(buffers.in[1].data, dtype_, sizes, tile)};
    out_ = output(buffers, 0);
    parts_ = static_cast<float*>(workspace);
    launcher_ = dtype_ == DType::bf16 ? launcher_of<__nv_bfloat16>(groups_, box_) : launcher_of<__half>(groups_, box_);
  }
  void run(Stream& stream) override {
    const Launch launch = {handle_of(stream), parts_};
    if (extent_.parts == 1) return launcher_(maps_, extent_, out_, into_, launch);
    launcher_(maps_, extent_, parts_, Into::overwrite, launch);
    add_parts<<<blocks_of_each(elements() / 4), block_threads, 0, launch.stream>>>(parts_, extent_.parts, elements(), out_, into_);
    check_launch("add_parts");
  }

 private:
  int64_t elements() const { return int64_t{product_.k} * extent_.row; }

  FilterProduct product_;
  DType dtype_;
  Into into_;
  int groups_, box_;
  Extent extent_;
  Maps maps_;
  float *out_ = nullptr, *parts_ = nullptr;
  Launcher launcher_ = nullptr;
};

}  // namespace

KernelPtr filter_kernel(const FilterProduct& product, DType dtype, Into into) {
  if (!can_be_fetched(product.windows, product.r, product.s, product.dilation_h, product.dilation_w)) return nullptr;
  return std::make_unique<FilterKernel>(product, dtype, into);
}

}  // namespace fovea::cuda
