// Convolutions of few channels, where the tiles of implicit GEMM are mostly air and every tap fetches the image again: a block holds a tile
// of the image with its border and all filters in shared memory, and its warps multiply out of it. Forward, and the gradient by the image
// as the same sum over the gradient of the outputs.
#include "fovea/backend/cuda/direct_ending.cuh"
#include "fovea/backend/cuda/direct_folding.cuh"
#include "fovea/backend/cuda/tensor_product.h"

namespace fovea::cuda {
namespace {

// Filters as lines of the contraction (tap, channel), zeros where there are none. Folded: number by number.
__device__ inline void load_folded_filters(const DirectShape& shape, const uint16_t* w, unsigned char* to) {
  const int per_tap = shape.s * shape.c, per_filter = shape.taps() * per_tap;
  for (int i = static_cast<int>(threadIdx.x); i < shape.k * per_filter; i += direct_threads) {
    const int k = i / per_filter, rest = i - k * per_filter, tap = rest / per_tap, channel = rest - tap * per_tap;
    *reinterpret_cast<uint16_t*>(to + k * shape.filter_pitch + (tap * shape.line + channel) * 2) = w[i];
  }
}

// Filters (c, r, s, k) on their heads: eight of them at a time.
__device__ inline void load_turned_filters(const DirectShape& shape, const uint16_t* w, unsigned char* to) {
  const int eights = shape.k / 8, taps = shape.taps();
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < shape.c * taps * eights; i += direct_threads) {
    const int line = i / eights, channel = line / taps, tap = taps - 1 - (line - channel * taps);
    const uint4 eight = *reinterpret_cast<const uint4*>(w + int64_t{i} * 8);
    unsigned char* at = to + (i - line * eights) * 8 * shape.filter_pitch + (tap * shape.line + channel) * 2;
    const uint32_t pairs[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
    for (int j = 0; j < 8; ++j)
      *reinterpret_cast<uint16_t*>(at + j * shape.filter_pitch) = static_cast<uint16_t>(pairs[j / 2] >> (j % 2 * 16));
  }
}

__device__ inline void load_filters(const DirectShape& shape, const uint16_t* w, unsigned char* to) {
  for (int i = static_cast<int>(threadIdx.x) * 16; i < shape.filter_bytes(); i += direct_threads * 16)
    *reinterpret_cast<uint4*>(to + i) = make_uint4(0, 0, 0, 0);
  __syncthreads();
  if (shape.folded) return load_folded_filters(shape, w, to);
  if (shape.transposed) return load_turned_filters(shape, w, to);
  const int groups = shape.groups();
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < shape.k * groups; i += direct_threads) {
    const int k = i / groups;
    copy_sixteen(shared_address(to) + k * shape.filter_pitch + (i - k * groups) * 16, w + int64_t{i} * 8, true);
  }
  wait_for_all_copies();
}

// A warp's outputs: `matrices` times 16 pixels, one after another in the tile, by 8 columns filters.
template <class T, int matrices, int columns, int pattern>
__device__ __forceinline__ void multiply_tile(const DirectShape& shape, int first_pixel, uint32_t image, uint32_t filters,
                                              const int* offsets, float (&d)[matrices][columns][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint32_t row[matrices];
#pragma unroll
  for (int t = 0; t < matrices; ++t) {
    const Divided at = shape.by_tile_w.divide(first_pixel + t * matrix_pixels + lane % 16);  // by shifts it takes more registers
    row[t] = image + window_offset(shape, at.quotient, at.remainder);
  }
  const uint32_t filter = filters + (lane / 16 * 8 + lane % 8) * shape.filter_pitch + lane / 8 % 2 * 16;
#pragma unroll 2
  for (int step = 0; step < shape.steps(); ++step) {
    const int offset = offsets[2 * step + lane / 16];
    uint32_t a[matrices][4];
#pragma unroll
    for (int t = 0; t < matrices; ++t) load_matrices(a[t], in_pattern<pattern>(row[t] + offset));
#pragma unroll
    for (int j = 0; j < columns; j += 2) {
      uint32_t b[4];
      load_matrices(b, filter + j * 8 * shape.filter_pitch + step * 32);
#pragma unroll
      for (int t = 0; t < matrices; ++t) {
        multiply_add(d[t][j], a[t], b[0], b[1], T());
        multiply_add(d[t][j + 1], a[t], b[2], b[3], T());
      }
    }
  }
}

__device__ inline void load_bias(const DirectShape& shape, const DirectOutput& out, int count, float* to) {
  for (int k = static_cast<int>(threadIdx.x); k < count; k += direct_threads)
    to[k] = out.bias != nullptr && k < shape.k ? out.bias[k] : 0.0f;
}

template <class T, int matrices, int columns>
__global__ void __launch_bounds__(direct_threads, 2) direct_tiles(const __grid_constant__ DirectShape shape, const uint16_t* x,
                                                                  const uint16_t* w, const __grid_constant__ DirectOutput out) {
  using Ending = DirectEnding<T, columns, Aside::totals>;
  extern __shared__ __align__(128) unsigned char shared[];
  unsigned char *filters = shared, *image = filters + shape.filter_bytes(), *staging = image + shape.image_bytes();
  int* offsets = reinterpret_cast<int*>(staging + direct_warps * Ending::staging_bytes);
  float* bias = reinterpret_cast<float*>(offsets + shape.steps() * 2);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  load_filters(shape, w, filters);
  write_offsets(shape, offsets);
  load_bias(shape, out, columns * 8, bias);
  constexpr int per_warp = matrices * matrix_pixels;
  Ending ending = {shape, out, bias, staging + warp * Ending::staging_bytes};
  for (int tile = static_cast<int>(blockIdx.x); tile < shape.tiles; tile += static_cast<int>(gridDim.x)) {
    const TilePlace place(shape, tile);
    if (out.relu_y != nullptr) prefetch_relu(shape, out, place);
    __syncthreads();
    load_tile(shape, place, x, image);
    __syncthreads();
    for (int first = warp * per_warp; first < shape.tile_h * shape.tile_w; first += direct_warps * per_warp) {
      float d[matrices][columns][4] = {};
      multiply_tile<T, matrices, columns, 0>(shape, first, shared_address(image), shared_address(filters), offsets, d);
      ending.store(place, first, d);
    }
  }
  if (out.totals == nullptr) return;
  __syncthreads();
  store_totals<columns>(shape, out.totals, ending.totals, reinterpret_cast<float*>(staging));
}

// As direct_tiles, folded. With moments no tile hangs over the edge.
template <class T, int matrices, int columns, Aside aside>
__global__ void __launch_bounds__(direct_threads, 2) direct_folded(const __grid_constant__ DirectShape shape, const uint16_t* x,
                                                                   const uint16_t* w, const __grid_constant__ DirectOutput out) {
  using Ending = DirectEnding<T, columns, aside>;
  extern __shared__ __align__(128) unsigned char shared[];
  unsigned char *filters = shared, *image = filters + shape.filter_bytes(), *raw = image + shape.image_bytes();
  unsigned char* staging = raw + shape.raw_tile_bytes();
  int* offsets = reinterpret_cast<int*>(staging + direct_warps * Ending::staging_bytes);
  float* bias = reinterpret_cast<float*>(offsets + shape.steps() * 2);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const FoldedTiles tiles(shape, x, raw, image);
  load_filters(shape, w, filters);
  write_offsets(shape, offsets);
  load_bias(shape, out, columns * 8, bias);
  constexpr int per_warp = matrices * matrix_pixels;
  const int first = warp * per_warp, pixels = shape.tile_h * shape.tile_w;
  Ending ending = {shape, out, bias, staging + warp * Ending::staging_bytes};
  for (int tile = static_cast<int>(blockIdx.x); tile < shape.tiles; tile += static_cast<int>(gridDim.x)) {
    const TilePlace place(shape, tile);
    tiles.wait();
    tiles.fold_tile(tile, place);
    if (first >= pixels) continue;
    float d[matrices][columns][4] = {};
    multiply_tile<T, matrices, columns, 0>(shape, first, shared_address(image), shared_address(filters), offsets, d);
    if (aside == Aside::moments && tile == static_cast<int>(blockIdx.x)) ending.begin_moments(d[0]);
    ending.store(place, first, d);
  }
  if (aside != Aside::moments) return;
  __syncthreads();
  const int own_tiles = (shape.tiles - static_cast<int>(blockIdx.x) + static_cast<int>(gridDim.x) - 1) / static_cast<int>(gridDim.x);
  store_moments<T, columns>(shape, out.moments, ending.moments, pixels / per_warp, own_tiles * per_warp, reinterpret_cast<float*>(staging));
}

// As direct_tiles, where the copy engine fetches the tiles: each warp has one piece of every tile and no warp waits for another but the
// first, which has the next tile fetched when all have read the one before.
template <class T, int matrices, int columns, int pattern>
__global__ void __launch_bounds__(direct_threads, 2)
    direct_stream(const __grid_constant__ CUtensorMap images, const __grid_constant__ DirectShape shape, const uint16_t* w,
                  const __grid_constant__ DirectOutput out) {
  using Ending = DirectEnding<T, columns, Aside::totals>;
  extern __shared__ unsigned char slots[];
  if (first_pattern(slots) != slots) __trap();  // nothing else is in shared memory: it begins where a pattern may
  const int slot_bytes = shape.slot_bytes();
  unsigned char *filters = slots + tile_slots * slot_bytes, *staging = filters + shape.filter_bytes();
  int* offsets = reinterpret_cast<int*>(staging + direct_warps * Ending::staging_bytes);
  float* bias = reinterpret_cast<float*>(offsets + shape.steps() * 2);
  auto& ring = *reinterpret_cast<Ring<tile_slots>*>(bias + columns * 8);
  const int warp = static_cast<int>(threadIdx.x) / 32, blocks = static_cast<int>(gridDim.x);
  const auto fetch = [&](int tile, int slot) {
    ring.full[slot].arrive_and_expect(shape.image_bytes());
    copy_tile(images, ring.full[slot], slots + slot * slot_bytes, corner_of(shape, TilePlace(shape, tile)));
  };
  if (threadIdx.x == 0) ring.init(direct_warps);
  __syncthreads();
  if (threadIdx.x == 0)
    for (int slot = 0, tile = static_cast<int>(blockIdx.x); slot < tile_slots && tile < shape.tiles; ++slot, tile += blocks)
      fetch(tile, slot);
  load_filters(shape, w, filters);
  write_offsets(shape, offsets);
  load_bias(shape, out, columns * 8, bias);
  __syncthreads();
  const int first = warp * matrices * matrix_pixels;
  Ending ending = {shape, out, bias, staging + warp * Ending::staging_bytes};
  RingPlace at;
  for (int tile = static_cast<int>(blockIdx.x); tile < shape.tiles; tile += blocks, at.advance(tile_slots)) {
    const TilePlace place(shape, tile);
    if (out.relu_y != nullptr) prefetch_relu(shape, out, place);
    float d[matrices][columns][4] = {};
    ring.full[at.stage].wait(at.parity);
    multiply_tile<T, matrices, columns, pattern>(shape, first, shared_address(slots + at.stage * slot_bytes), shared_address(filters),
                                                 offsets, d);
    __syncwarp();
    if (threadIdx.x % 32 == 0) ring.empty[at.stage].arrive();
    ending.store(place, first, d);
    const int next = tile + tile_slots * blocks;
    if (threadIdx.x == 0 && next < shape.tiles) {
      ring.empty[at.stage].wait(at.parity);
      fetch(next, at.stage);
    }
    __syncwarp();
  }
  if (out.totals == nullptr) return;
  __syncthreads();
  store_totals<columns>(shape, out.totals, ending.totals, reinterpret_cast<float*>(staging));
}

// ---- host ----

int columns_of(const DirectShape& shape) { return shape.k <= 32 ? 4 : 8; }
int matrices_of(const DirectShape& shape) { return shape.k <= 32 ? 4 : 2; }

int shared_bytes_of(const DirectShape& shape) {
  const int columns = columns_of(shape), images = shape.pattern > 0 ? tile_slots * shape.slot_bytes() : shape.image_bytes();
  const int behind = shape.offset_bytes() + columns * 8 * 4 + (shape.pattern > 0 ? static_cast<int>(sizeof(Ring<tile_slots>)) : 0);
  return images + shape.raw_tile_bytes() + shape.filter_bytes() + direct_warps * matrix_pixels * (columns * 16 + 16) + behind;
}

class DirectKernel final : public Kernel {
 public:
  DirectKernel(const DirectShape& shape, DType dtype, const Ends& ends) : Kernel("cuda"), shape_(shape), dtype_(dtype), ends_(ends) {}

  std::string algorithm() const override {
    return "tensor cores, tiles of " + std::to_string(shape_.tile_h) + "x" + std::to_string(shape_.tile_w) + " pixels" +
           (shape_.is_fetched_ahead() ? ", fetched ahead" : "");
  }
  void bind(Buffers buffers, void*) override {
    x_ = input_of<uint16_t>(buffers, ends_.image);
    w_ = input_of<uint16_t>(buffers, ends_.filter);
    if (shape_.pattern > 0) images_ = map_of_image(shape_, x_, dtype_);
    out_ = {.y = buffers.out[0].data,
            .bias = ends_.bias ? input(buffers, 2) : nullptr,
            .relu = ends_.relu,
            .relu_y = ends_.relu_behind ? buffers.in[2].data : nullptr,
            .totals = ends_.totals ? output(buffers, 1) : nullptr,
            .moments = ends_.moments ? output(buffers, 1) : nullptr};
  }
  // How tiles of the same size are dealt out.
  Deal deal() const { return {.rows = int64_t{shape_.n} * shape_.p * shape_.q, .lines = shape_.tile_h * shape_.tile_w, .parts = blocks()}; }
  bool has_whole_tiles() const { return shape_.p % shape_.tile_h == 0 && shape_.q % shape_.tile_w == 0; }
  bool is_folded() const { return shape_.folded; }
  int blocks() const {
    const int bytes = shared_bytes_of(shape_);
    return std::min(shape_.tiles, planned_multiprocessors * std::clamp(shared_bytes_per_sm / (bytes + 1024), 1, 2));
  }
  void run(Stream& stream) override {
    if (dtype_ == DType::bf16)
      launch<__nv_bfloat16>(handle_of(stream));
    else
      launch<__half>(handle_of(stream));
  }

 private:
  template <class T>
  void launch(cudaStream_t stream) {
    if (columns_of(shape_) == 4)
      launch_columns<T, 4, 4>(stream);
    else
      launch_columns<T, 2, 8>(stream);
  }
  template <class T, int matrices, int columns>
  void launch_columns(cudaStream_t stream) {
    switch (shape_.pattern) {
      case 0:
        return launch_kernel(!shape_.folded  ? direct_tiles<T, matrices, columns>
                             : ends_.moments ? direct_folded<T, matrices, columns, Aside::moments>
                                             : direct_folded<T, matrices, columns, Aside::nothing>,
                             stream, shape_, x_, w_, out_);
      case 32:
        return launch_kernel(direct_stream<T, matrices, columns, 32>, stream, images_, shape_, w_, out_);
      case 64:
        return launch_kernel(direct_stream<T, matrices, columns, 64>, stream, images_, shape_, w_, out_);
      default:
        return launch_kernel(direct_stream<T, matrices, columns, 128>, stream, images_, shape_, w_, out_);
    }
  }
  template <class... Parameters, class... Arguments>
  void launch_kernel(void (*kernel)(Parameters...), cudaStream_t stream, const Arguments&... arguments) {
    if (!prepared_) {
      check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes_per_sm - 1024),
                 "cudaFuncSetAttribute");
      prepared_ = true;
    }
    kernel<<<static_cast<unsigned>(blocks()), direct_threads, static_cast<size_t>(shared_bytes_of(shape_)), stream>>>(arguments...);
    check_launch(shape_.pattern > 0 ? "direct_stream" : shape_.folded ? "direct_folded" : "direct_tiles");
  }

  DirectShape shape_;
  DType dtype_;
  Ends ends_;
  bool prepared_ = false;
  CUtensorMap images_{};
  const uint16_t *x_ = nullptr, *w_ = nullptr;
  DirectOutput out_{};
};

bool fits(const DirectShape& shape, int blocks_per_sm) {
  return shared_bytes_of(shape) <= shared_bytes_per_sm / blocks_per_sm - 1024 && (shape.folded || shape.tiles >= planned_multiprocessors);
}

// Tiles of which each warp has one piece, two of them in shared memory; two blocks a multiprocessor where there is room for them.
std::optional<DirectShape> streamed(const DirectShape& shape) {
  if (!can_be_streamed(shape)) return std::nullopt;
  for (const int blocks_per_sm : {2, 1}) {
    const auto of_width = [&](int tile_w) -> std::optional<DirectShape> {
      DirectShape sized = shape;
      stream_tile(sized, direct_warps * matrices_of(shape) * matrix_pixels / tile_w, tile_w);
      if (fits(sized, blocks_per_sm) && fits_copy_engine(sized)) return sized;
      return std::nullopt;
    };
    if (const auto sized = less_wasteful(of_width(32), of_width(16))) return sized;
  }
  return std::nullopt;
}

// `image`: what slides under the window; for the gradient by the image that of the outputs.
std::unique_ptr<DirectKernel> direct_kernel(const Conv2dShape& image, bool transposed, DType dtype, const Ends& ends) {
  std::optional<DirectShape> shape = direct_shape(image);
  if (!shape) return nullptr;
  shape->transposed = transposed;
  const auto of_width = [&](int tile_w) -> std::optional<DirectShape> {
    DirectShape sized = *shape;
    for (int tile_h = direct_warps * matrix_pixels * matrices_of(sized) / tile_w; tile_h >= 4; tile_h /= 2) {
      set_tile(sized, tile_h, tile_w);
      if (fits(sized, 2)) return sized;
    }
    return std::nullopt;
  };
  const std::optional<DirectShape> sized = less_wasteful(of_width(32), of_width(16));
  if (!sized) return nullptr;
  return std::make_unique<DirectKernel>(streamed(*sized).value_or(*sized), dtype, ends);
}

bool has_few_channels(const Conv2dShape& shape) { return shape.c <= 32 || shape.k <= 32; }

}  // namespace

KernelPtr direct_on_tensor_cores(const Conv2dForward& op, const Ends& ends) {
  if (!suits_direct(op.shape, op.types) || !has_few_channels(op.shape)) return nullptr;
  return direct_kernel(op.shape, false, op.types.x, ends);
}

MomentsOfTiles direct_with_moments(const Conv2dForward& op) {
  if (!suits_direct(op.shape, op.types) || !has_few_channels(op.shape)) return {};
  std::unique_ptr<DirectKernel> kernel = direct_kernel(op.shape, false, op.types.x, {.moments = true});
  if (kernel == nullptr || !kernel->is_folded() || !kernel->has_whole_tiles()) return {};
  const Deal deal = kernel->deal();
  return {std::move(kernel), deal};
}

namespace {

std::unique_ptr<DirectKernel> direct_data_kernel(const Conv2dBackwardData& op, const Ends& ends) {
  const Window& window = op.shape.window;
  if (op.into == Into::add || window.stride_h != 1 || window.stride_w != 1 || window.pad_top >= window.r || window.pad_left >= window.s ||
      window.pad_bottom >= window.r || window.pad_right >= window.s)
    return nullptr;
  Conv2dShape backward = op.shape;  // of the outputs' gradient, padded so that every pixel of the image is an output
  backward.h = op.shape.p();
  backward.w = op.shape.q();
  backward.c = op.shape.k;
  backward.k = op.shape.c;
  backward.window.pad_top = window.r - 1 - window.pad_top;
  backward.window.pad_bottom = window.r - 1 - window.pad_bottom;
  backward.window.pad_left = window.s - 1 - window.pad_left;
  backward.window.pad_right = window.s - 1 - window.pad_right;
  if (!suits_direct(backward, op.types) || backward.c % 8 != 0 || !has_few_channels(backward)) return nullptr;
  return direct_kernel(backward, true, op.types.x, ends);
}

}  // namespace

KernelPtr direct_on_tensor_cores(const Conv2dBackwardData& op) { return direct_data_kernel(op, {}); }

KernelWithTotals direct_with_relu_and_totals(const Conv2dBackwardData& op) {
  std::unique_ptr<DirectKernel> kernel = direct_data_kernel(op, {.relu_behind = true, .totals = true});
  const int parts = kernel == nullptr ? 0 : kernel->blocks();
  return {std::move(kernel), parts};
}

}  // namespace fovea::cuda
