// The gradient of the filters of few channels: blocks stay, each sums over its tiles of the images in registers, and the sums of the blocks
// are added up in their order.
#include "fovea/backend/cuda/direct_folding.cuh"
#include "fovea/backend/cuda/tensor_product.h"

namespace fovea::cuda {
namespace {

// The gradient of a tile's outputs, zeros where the tile hangs over the edge.
__device__ inline void load_gradient(const DirectShape& shape, const TilePlace& place, const uint16_t* dy, int pitch, unsigned char* to) {
  const int eights = shape.k / 8;
  const uint32_t base = shared_address(to);
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < shape.tile_h * shape.tile_w * eights; i += direct_threads) {
    const int pixel = i / eights, eight = i - pixel * eights;
    const int p = place.p + (pixel >> shape.tile_w_bits), q = place.q + (pixel & (shape.tile_w - 1));
    const bool inside = p < shape.p && q < shape.q;
    const int64_t from = inside ? ((int64_t{place.n} * shape.p + p) * shape.q + q) * shape.k + eight * 8 : 0;
    copy_sixteen(base + pixel * pitch + eight * 16, dy + from, inside);
  }
  wait_for_all_copies();
}

// So many warps have together all numbers of the filters.
FOVEA_HOST_DEVICE inline int warps_abreast(const DirectShape& shape, int columns) { return (shape.groups() + columns - 1) / columns; }

// Where a warp finds its numbers of the filters in the window of a pixel. Where they are so few that not all warps are needed for them, the
// pixels of a tile are dealt to the others too.
template <int columns>
struct WarpGroups {
  static constexpr int loads = (columns + 1) / 2;
  int first, offset[loads];
  int share, shares;  // of the pixels

  __device__ WarpGroups(const DirectShape& shape, const int* offsets) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int abreast = warps_abreast(shape, columns);
    shares = direct_warps / abreast;
    share = warp / abreast;
    first = (warp - share * abreast) * columns;
#pragma unroll
    for (int j = 0; j < loads; ++j) offset[j] = offsets[min(first + 2 * j + lane / 16, shape.groups() - 1)];
  }
  __device__ bool has_work() const { return share < shares; }
};

// A warp sums up 16 rows filters by 8 columns numbers of them over the pixels of a tile. `pattern`: of the image; dy's: 0 or of its pixels.
template <class T, int rows, int columns, int pattern, int dy_pattern>
__device__ __forceinline__ void add_tile(const DirectShape& shape, uint32_t gradient, uint32_t image, const WarpGroups<columns>& groups,
                                         float (&d)[rows][columns][4]) {
  constexpr int pitch = dy_pattern > 0 ? dy_pattern : rows * 32 + 16;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int first = groups.share * matrix_pixels; first < shape.tile_h * shape.tile_w; first += groups.shares * matrix_pixels) {
    const int pixel = first + lane % 16;
    const uint32_t row = image + window_offset(shape, pixel >> shape.tile_w_bits, pixel & (shape.tile_w - 1));
    const uint32_t dy = gradient + (first + lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 16;
    uint32_t a[rows][4];
#pragma unroll
    for (int m = 0; m < rows; ++m) load_transposed(a[m], in_pattern<dy_pattern>(dy + m * 32));
#pragma unroll
    for (int j = 0; j < columns; j += 2) {
      uint32_t b[4];
      load_transposed(b, in_pattern<pattern>(row + groups.offset[j / 2]));
#pragma unroll
      for (int m = 0; m < rows; ++m) {
        multiply_add(d[m][j], a[m], b[0], b[1], T());
        if (j + 1 < columns) multiply_add(d[m][j + 1], a[m], b[2], b[3], T());
      }
    }
  }
}

// Of warps with the same numbers, in their order, and then to out: (blocks, k, groups 8). `others`: shared memory for all but one of them.
template <int rows, int columns>
__device__ __forceinline__ void store_sums(const DirectShape& shape, const WarpGroups<columns>& groups, float (&d)[rows][columns][4],
                                           unsigned char* others, float* out) {
  constexpr int sums = rows * columns;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int abreast = warps_abreast(shape, columns);
  float4* of_lane = reinterpret_cast<float4*>(others) + (warp - abreast) * sums * 32 + lane;  // of the first warps: nowhere
  __syncthreads();
  if (groups.share > 0 && groups.has_work())
#pragma unroll
    for (int i = 0; i < sums; ++i) {
      const float(&sum)[4] = d[i / columns][i % columns];
      of_lane[i * 32] = make_float4(sum[0], sum[1], sum[2], sum[3]);
    }
  __syncthreads();
  if (groups.share > 0) return;
  for (int share = 1; share < groups.shares; ++share)
#pragma unroll
    for (int i = 0; i < sums; ++i) {
      const float4 sum = of_lane[(share * abreast * sums + i) * 32];
      float(&to)[4] = d[i / columns][i % columns];
      to[0] += sum.x;
      to[1] += sum.y;
      to[2] += sum.z;
      to[3] += sum.w;
    }
  float* to = out + int64_t{blockIdx.x} * shape.k * shape.groups() * 8;
#pragma unroll
  for (int m = 0; m < rows; ++m)
#pragma unroll
    for (int j = 0; j < columns; ++j) {
      if (groups.first + j >= shape.groups()) break;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int k = m * 16 + half * 8 + lane / 4;
        if (k < shape.k)
          *reinterpret_cast<float2*>(to + (int64_t{k} * shape.groups() + groups.first + j) * 8 + lane % 4 * 2) =
              make_float2(d[m][j][2 * half], d[m][j][2 * half + 1]);
      }
    }
}

template <class T, int rows, int columns>
__global__ void __launch_bounds__(direct_threads, rows* columns > 12 ? 1 : 2)
    direct_filters(const __grid_constant__ DirectShape shape, const uint16_t* x, const uint16_t* dy, float* out) {
  extern __shared__ __align__(128) unsigned char shared[];
  constexpr int pitch = rows * 32 + 16;
  const int pixels = shape.tile_h * shape.tile_w;
  unsigned char *gradient = shared, *image = gradient + pixels * pitch;
  int* offsets = reinterpret_cast<int*>(image + shape.image_bytes());
  write_offsets(shape, offsets);
  for (int i = static_cast<int>(threadIdx.x) * 16; i < pixels * pitch; i += direct_threads * 16)
    *reinterpret_cast<uint4*>(gradient + i) = make_uint4(0, 0, 0, 0);  // filters beyond the last one stay zero
  __syncthreads();
  const WarpGroups<columns> groups(shape, offsets);
  float d[rows][columns][4] = {};
  for (int tile = static_cast<int>(blockIdx.x); tile < shape.tiles; tile += static_cast<int>(gridDim.x)) {
    const TilePlace place(shape, tile);
    load_gradient(shape, place, dy, pitch, gradient);
    load_tile(shape, place, x, image);
    __syncthreads();
    if (groups.has_work()) add_tile<T, rows, columns, 0, 0>(shape, shared_address(gradient), shared_address(image), groups, d);
    __syncthreads();
  }
  store_sums(shape, groups, d, shared, out);
}

// As direct_filters, folded: the copy engine fetches the gradient of the next tile, with zeros for filters beyond the last one.
template <class T, int rows, int columns>
__global__ void __launch_bounds__(direct_threads, rows* columns > 12 ? 1 : 2)
    direct_folded_filters(const __grid_constant__ CUtensorMap gradients, const __grid_constant__ DirectShape shape, const uint16_t* x,
                          float* out) {
  constexpr int dy_pattern = rows * 32;
  extern __shared__ unsigned char slots[];
  if (first_pattern(slots) != slots) __trap();  // nothing else is in shared memory: it begins where a pattern may
  const int slot_bytes = shape.tile_h * shape.tile_w * dy_pattern;
  unsigned char *image = slots + tile_slots * slot_bytes, *raw = image + shape.image_bytes();
  auto& ring = *reinterpret_cast<Ring<tile_slots>*>(raw + shape.raw_tile_bytes());
  int* offsets = reinterpret_cast<int*>(&ring + 1);
  const int blocks = static_cast<int>(gridDim.x);
  const auto fetch_gradient = [&](int tile, int slot) {
    const TilePlace place(shape, tile);
    ring.full[slot].arrive_and_expect(slot_bytes);
    copy_tile(gradients, ring.full[slot], slots + slot * slot_bytes, make_int4(0, place.q, place.p, place.n));
  };
  if (threadIdx.x == 0) {
    ring.init(direct_warps);
    fetch_gradient(static_cast<int>(blockIdx.x), 0);
  }
  const FoldedTiles tiles(shape, x, raw, image);
  write_offsets(shape, offsets);
  __syncthreads();
  const WarpGroups<columns> groups(shape, offsets);
  float d[rows][columns][4] = {};
  RingPlace at;
  for (int tile = static_cast<int>(blockIdx.x); tile < shape.tiles; tile += blocks, at.advance(tile_slots)) {
    tiles.wait();
    if (threadIdx.x == 0 && tile + blocks < shape.tiles) fetch_gradient(tile + blocks, 1 - at.stage);  // all have read the one before
    tiles.fold_tile(tile, TilePlace(shape, tile));
    ring.full[at.stage].wait(at.parity);
    if (groups.has_work())
      add_tile<T, rows, columns, 0, dy_pattern>(shape, shared_address(slots + at.stage * slot_bytes), shared_address(image), groups, d);
  }
  store_sums(shape, groups, d, slots, out);
}

struct StreamedMaps {
  CUtensorMap image, gradient;
};
constexpr int streamed_filters = 32, gradient_pattern = streamed_filters * 2;

// As direct_filters, where the copy engine fetches the tiles.
template <class T, int columns, int pattern>
__global__ void __launch_bounds__(direct_threads, 2)
    direct_filter_stream(const __grid_constant__ StreamedMaps maps, const __grid_constant__ DirectShape shape, float* out) {
  constexpr int rows = streamed_filters / 16;
  extern __shared__ unsigned char slots[];
  if (first_pattern(slots) != slots) __trap();  // nothing else is in shared memory: it begins where a pattern may
  const int gradient_bytes = shape.tile_h * shape.tile_w * gradient_pattern, slot_bytes = gradient_bytes + shape.slot_bytes();
  int* offsets = reinterpret_cast<int*>(slots + tile_slots * slot_bytes);
  auto& ring = *reinterpret_cast<Ring<tile_slots>*>(offsets + shape.steps() * 2);
  const int blocks = static_cast<int>(gridDim.x);
  const auto fetch = [&](int tile, int slot) {
    const TilePlace place(shape, tile);
    unsigned char* to = slots + slot * slot_bytes;
    ring.full[slot].arrive_and_expect(gradient_bytes + shape.image_bytes());
    copy_tile(maps.gradient, ring.full[slot], to, make_int4(0, place.q, place.p, place.n));
    copy_tile(maps.image, ring.full[slot], to + gradient_bytes, corner_of(shape, place));
  };
  if (threadIdx.x == 0) ring.init(direct_warps);
  write_offsets(shape, offsets);
  __syncthreads();
  if (threadIdx.x == 0)
    for (int slot = 0, tile = static_cast<int>(blockIdx.x); slot < tile_slots && tile < shape.tiles; ++slot, tile += blocks)
      fetch(tile, slot);
  __syncwarp();
  const WarpGroups<columns> groups(shape, offsets);
  float d[rows][columns][4] = {};
  RingPlace at;
  for (int tile = static_cast<int>(blockIdx.x); tile < shape.tiles; tile += blocks, at.advance(tile_slots)) {
    const uint32_t gradient = shared_address(slots + at.stage * slot_bytes);
    ring.full[at.stage].wait(at.parity);
    if (groups.has_work()) add_tile<T, rows, columns, pattern, gradient_pattern>(shape, gradient, gradient + gradient_bytes, groups, d);
    __syncwarp();
    if (threadIdx.x % 32 == 0) ring.empty[at.stage].arrive();
    const int next = tile + tile_slots * blocks;
    if (threadIdx.x == 0 && next < shape.tiles) {
      ring.empty[at.stage].wait(at.parity);
      fetch(next, at.stage);
    }
    __syncwarp();
  }
  store_sums(shape, groups, d, slots, out);
}

// 32 elements a block, the parts of each by eight warps.
__global__ void __launch_bounds__(direct_threads)
    add_direct_parts(const __grid_constant__ DirectShape shape, const float* parts, int count, float* dw, Into into) {
  __shared__ float of_warp[direct_warps][32];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int i = static_cast<int>(blockIdx.x) * 32 + lane, elements = shape.k * shape.r * shape.s * shape.c;
  const int per_tap = shape.folded ? shape.s * shape.c : shape.c, per_filter = shape.taps() * per_tap;
  const int k = i / per_filter, rest = i - k * per_filter, tap = rest / per_tap, row = shape.groups() * 8;
  const float* from = parts + int64_t{k} * row + tap * shape.line + (rest - tap * per_tap);
  float sum = 0;
  if (i < elements)
#pragma unroll 8
    for (int part = warp; part < count; part += direct_warps) sum += from[int64_t{part} * shape.k * row];
  of_warp[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || i >= elements) return;
  for (int other = 1; other < direct_warps; ++other) sum += of_warp[other][lane];
  dw[i] = into == Into::add ? dw[i] + sum : sum;
}

// ---- host ----

struct Choice {
  int rows, columns;  // of matrices, for each warp
  int blocks_per_sm() const { return rows * columns > 12 ? 1 : 2; }
};
Choice choose(const DirectShape& shape) { return {shape.k <= 32 ? 2 : 4, shape.groups() > 3 * direct_warps ? 5 : 3}; }

// Of filters in the pattern in which the copy engine lays their gradients down, for tiles folded.
int padded_filters(const Choice& choice) { return choice.rows * 16; }

int shared_bytes_for_tiles(const DirectShape& shape, const Choice& choice) {
  const int pixels = shape.tile_h * shape.tile_w, ring_bytes = static_cast<int>(sizeof(Ring<tile_slots>));
  if (shape.pattern > 0) return tile_slots * (pixels * gradient_pattern + shape.slot_bytes()) + shape.offset_bytes() + ring_bytes;
  if (shape.folded)
    return tile_slots * pixels * padded_filters(choice) * 2 + shape.image_bytes() + shape.raw_tile_bytes() + shape.offset_bytes() +
           ring_bytes;
  return pixels * (choice.rows * 32 + 16) + shape.image_bytes() + shape.offset_bytes();
}
int shared_bytes_of(const DirectShape& shape, const Choice& choice) {
  const int abreast = warps_abreast(shape, choice.columns), others = (direct_warps / abreast - 1) * abreast;
  return std::max(shared_bytes_for_tiles(shape, choice), others * choice.rows * choice.columns * 32 * static_cast<int>(sizeof(float4)));
}

class DirectFilterKernel final : public Kernel {
 public:
  DirectFilterKernel(const DirectShape& shape, DType dtype, Into into)
      : Kernel("cuda"),
        shape_(shape),
        choice_(choose(shape)),
        dtype_(dtype),
        into_(into),
        blocks_(std::min(shape.tiles, planned_multiprocessors * choice_.blocks_per_sm())) {}

  std::string algorithm() const override {
    return "tensor cores, tiles of " + std::to_string(shape_.tile_h) + "x" + std::to_string(shape_.tile_w) + " pixels" +
           (shape_.is_fetched_ahead() ? ", fetched ahead" : "") + ", sum in " + std::to_string(blocks_) + " parts";
  }
  size_t workspace_bytes() const override {
    return static_cast<size_t>(blocks_) * static_cast<size_t>(shape_.k * shape_.groups() * 8) * sizeof(float);
  }
  void bind(Buffers buffers, void* workspace) override {
    x_ = input_of<uint16_t>(buffers, 0);
    dy_ = input_of<uint16_t>(buffers, 1);
    dw_ = output(buffers, 0);
    parts_ = static_cast<float*>(workspace);
    if (shape_.pattern > 0) maps_.image = map_of_image(shape_, x_, dtype_);
    if (shape_.is_fetched_ahead()) maps_.gradient = map_of_gradient();
  }
  void run(Stream& stream) override {
    if (dtype_ == DType::bf16)
      launch<__nv_bfloat16>(handle_of(stream));
    else
      launch<__half>(handle_of(stream));
    const int64_t elements = int64_t{shape_.k} * shape_.r * shape_.s * shape_.c;
    add_direct_parts<<<blocks_of_each(elements, 32), direct_threads, 0, handle_of(stream)>>>(shape_, parts_, blocks_, dw_, into_);
    check_launch("add_direct_parts");
  }

 private:
  CUtensorMap map_of_gradient() const {
    const int64_t sizes[] = {shape_.k, shape_.q, shape_.p, shape_.n};
    const int tile[] = {padded_filters(choice_), shape_.tile_w, shape_.tile_h, 1};
    return map_of_tiles(dy_, dtype_, sizes, tile);
  }
  template <class T>
  void launch(cudaStream_t stream) {
    if (shape_.pattern == 32) return launch_streamed<T, 32>(stream);
    if (shape_.pattern == 64) return launch_streamed<T, 64>(stream);
    if (choice_.rows == 2) return launch_rows<T, 2>(stream);
    launch_rows<T, 4>(stream);
  }
  template <class T, int pattern>
  void launch_streamed(cudaStream_t stream) {
    const auto kernel = choice_.columns == 3 ? direct_filter_stream<T, 3, pattern> : direct_filter_stream<T, 5, pattern>;
    launch_kernel(kernel, stream, maps_, shape_, parts_);
  }
  template <class T, int rows>
  void launch_rows(cudaStream_t stream) {
    if (choice_.columns == 3) return launch_columns<T, rows, 3>(stream);
    launch_columns<T, rows, 5>(stream);
  }
  template <class T, int rows, int columns>
  void launch_columns(cudaStream_t stream) {
    if (shape_.folded) return launch_kernel(direct_folded_filters<T, rows, columns>, stream, maps_.gradient, shape_, x_, parts_);
    launch_kernel(direct_filters<T, rows, columns>, stream, shape_, x_, dy_, parts_);
  }
  template <class... Parameters, class... Arguments>
  void launch_kernel(void (*kernel)(Parameters...), cudaStream_t stream, const Arguments&... arguments) {
    if (!prepared_) {
      check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes_per_sm - 1024),
                 "cudaFuncSetAttribute");
      prepared_ = true;
    }
    kernel<<<static_cast<unsigned>(blocks_), direct_threads, static_cast<size_t>(shared_bytes_of(shape_, choice_)), stream>>>(arguments...);
    check_launch(shape_.pattern > 0 ? "direct_filter_stream" : shape_.folded ? "direct_folded_filters" : "direct_filters");
  }

  DirectShape shape_;
  Choice choice_;
  DType dtype_;
  Into into_;
  int blocks_;
  bool prepared_ = false;
  StreamedMaps maps_{};
  const uint16_t *x_ = nullptr, *dy_ = nullptr;
  float *dw_ = nullptr, *parts_ = nullptr;
};

// The largest tile of a width that fits, as `size` makes it.
template <class Size>
std::optional<DirectShape> largest_tile(const DirectShape& shape, int tile_w, const Size& size) {
  const Choice choice = choose(shape);
  for (int tile_h = 16; tile_h >= 4; tile_h /= 2) {
    DirectShape sized = shape;
    size(sized, tile_h, tile_w);
    const bool fits = shared_bytes_of(sized, choice) <= shared_bytes_per_sm / choice.blocks_per_sm() - 1024;
    if (fits && fits_copy_engine(sized) && sized.tiles >= planned_multiprocessors) return sized;
  }
  return std::nullopt;
}

// Smaller tiles, two of them in shared memory.
std::optional<DirectShape> streamed(const DirectShape& shape) {
  if (!can_be_streamed(shape) || shape.k != streamed_filters) return std::nullopt;
  return less_wasteful(largest_tile(shape, 32, stream_tile), largest_tile(shape, 16, stream_tile));
}

}  // namespace

KernelPtr direct_on_tensor_cores(const Conv2dBackwardFilter& op) {
  if (!suits_direct(op.shape, op.types) || op.shape.c > 32 || (op.shape.c % 8 == 0 && op.shape.k > 32)) return nullptr;
  const std::optional<DirectShape> shape = direct_shape(op.shape);
  if (!shape || shape->groups() > 5 * direct_warps) return nullptr;
  const std::optional<DirectShape> sized = less_wasteful(largest_tile(*shape, 32, set_tile), largest_tile(*shape, 16, set_tile));
  if (!sized) return nullptr;
  return std::make_unique<DirectFilterKernel>(streamed(*sized).value_or(*sized), op.types.x, op.into);
}

}  // namespace fovea::cuda
