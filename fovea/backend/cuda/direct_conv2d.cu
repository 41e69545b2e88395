// Convolutions of few channels, where the tiles of implicit GEMM are mostly air and every tap fetches the image again: a block holds a tile
// of the image with its border and all filters in shared memory, and its warps multiply out of it. Forward, and the gradient by the image
// as the same sum over the gradient of the outputs.
#include "fovea/backend/cuda/direct_tiles.cuh"
#include "fovea/backend/cuda/tensor_product.h"

namespace fovea::cuda {
namespace {

struct DirectOutput {
  void* y;
  const float* bias;
  bool relu;
  const void* relu_y;  // of the relu whose gradient y becomes; nullptr: of none
  float* totals;       // with it: of what a block writes, over its pixels: (blocks, k)
};

// Filters as lines of the contraction (tap, channel), zeros where there are none.
__device__ inline void load_filters(const DirectShape& shape, const uint16_t* w, unsigned char* to) {
  for (int i = static_cast<int>(threadIdx.x) * 16; i < shape.filter_bytes(); i += direct_threads * 16)
    *reinterpret_cast<uint4*>(to + i) = make_uint4(0, 0, 0, 0);
  __syncthreads();
  const int per_tap = shape.folded ? shape.s * shape.c : shape.c, per_filter = shape.taps() * per_tap;
  for (int i = static_cast<int>(threadIdx.x); i < shape.k * per_filter; i += direct_threads) {
    const int k = i / per_filter, rest = i - k * per_filter, tap = rest / per_tap, channel = rest - tap * per_tap;
    const int from = shape.transposed ? (channel * shape.taps() + shape.taps() - 1 - tap) * shape.k + k : i;
    *reinterpret_cast<uint16_t*>(to + k * shape.filter_pitch + (tap * shape.line + channel) * 2) = w[from];
  }
}

// A warp's outputs: `matrices` times 16 pixels, one after another in the tile, by 8 columns filters.
template <class T, int matrices, int columns>
__device__ __forceinline__ void multiply_tile(const DirectShape& shape, int first_pixel, uint32_t image, uint32_t filters,
                                              const int* offsets, float (&d)[matrices][columns][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint32_t row[matrices];
#pragma unroll
  for (int t = 0; t < matrices; ++t) row[t] = image + window_offset(shape, first_pixel + t * matrix_pixels + lane % 16);
  const uint32_t filter = filters + (lane / 16 * 8 + lane % 8) * shape.filter_pitch + lane / 8 % 2 * 16;
#pragma unroll 2
  for (int step = 0; step < shape.steps(); ++step) {
    const int offset = offsets[2 * step + lane / 16];
    uint32_t a[matrices][4];
#pragma unroll
    for (int t = 0; t < matrices; ++t) load_matrices(a[t], row[t] + offset);
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

// Eight gradients at a place, where relu let its input through, added to their totals.
template <class T>
__device__ __forceinline__ uint4 through_relu(uint4 dy, uint4 y, float (&totals)[8]) {
  uint32_t pairs[4] = {dy.x & ~zero_mask(y.x, T()), dy.y & ~zero_mask(y.y, T()), dy.z & ~zero_mask(y.z, T()), dy.w & ~zero_mask(y.w, T())};
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const float2 pair = floats_of(pairs[j], T());
    totals[2 * j] += pair.x;
    totals[2 * j + 1] += pair.y;
  }
  return make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
}

// 16 pixels by 8 columns filters through the warp's own piece of shared memory, so that memory sees 16 bytes at a time.
template <class T, int columns>
__device__ __forceinline__ void store_pixels(const DirectShape& shape, const DirectOutput& out, const TilePlace& place, int first_pixel,
                                             const float (&d)[columns][4], const float* bias, unsigned char* staging, float (&totals)[8]) {
  constexpr int pitch = columns * 16 + 16, pieces = matrix_pixels * columns / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32, eight = lane % columns;
  int64_t to[pieces];
  uint4 relu_y[pieces];
#pragma unroll
  for (int i = 0; i < pieces; ++i) {
    const Divided at = shape.by_tile_w.divide(first_pixel + (lane + 32 * i) / columns);
    const int p = place.p + at.quotient, q = place.q + at.remainder;
    to[i] = p < shape.p && q < shape.q && eight * 8 < shape.k ? ((int64_t{place.n} * shape.p + p) * shape.q + q) * shape.k + eight * 8 : -1;
    relu_y[i] = make_uint4(0, 0, 0, 0);
    if (out.relu_y != nullptr && to[i] >= 0) relu_y[i] = *reinterpret_cast<const uint4*>(static_cast<const T*>(out.relu_y) + to[i]);
  }
#pragma unroll
  for (int j = 0; j < columns; ++j) {
    const int k = j * 8 + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float low = d[j][2 * half] + bias[k], high = d[j][2 * half + 1] + bias[k + 1];
      if (out.relu) {
        low = low <= 0 ? 0 : low;  // NaN stays NaN
        high = high <= 0 ? 0 : high;
      }
      *reinterpret_cast<uint32_t*>(staging + (lane / 4 + half * 8) * pitch + k * 2) = pair_of(low, high, T());
    }
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < pieces; ++i) {
    if (to[i] < 0) continue;
    uint4 outputs = *reinterpret_cast<const uint4*>(staging + (lane + 32 * i) / columns * pitch + eight * 16);
    if (out.relu_y != nullptr) outputs = through_relu<T>(outputs, relu_y[i], totals);
    *reinterpret_cast<uint4*>(static_cast<T*>(out.y) + to[i]) = outputs;
  }
  __syncwarp();
}

// Of all threads of the block, in the order of the warps. A thread's eight filters begin at 8 (lane % columns).
template <int columns>
__device__ void store_totals(const DirectShape& shape, float* to, float (&totals)[8], float* of_warps) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    for (int offset = 16; offset >= columns; offset /= 2) totals[j] += __shfl_xor_sync(~0u, totals[j], offset);
    if (lane < columns) of_warps[(warp * columns + lane) * 8 + j] = totals[j];
  }
  __syncthreads();
  const int k = static_cast<int>(threadIdx.x);
  if (k >= shape.k) return;
  float sum = 0;
  for (int i = 0; i < direct_warps; ++i) sum += of_warps[i * columns * 8 + k];
  to[int64_t{blockIdx.x} * shape.k + k] = sum;
}

// Into the second-level cache, a line of 128 bytes a thread, while the tile is multiplied.
__device__ inline void prefetch_relu(const DirectShape& shape, const DirectOutput& out, const TilePlace& place) {
  constexpr int line = 64;  // elements
  for (int i = static_cast<int>(threadIdx.x); i * line < shape.tile_h * shape.tile_w * shape.k; i += direct_threads) {
    const Divided at = shape.by_tile_w.divide(i * line / shape.k);
    const int p = place.p + at.quotient, q = place.q + at.remainder;
    if (p >= shape.p || q >= shape.q) continue;
    const uint16_t* from = static_cast<const uint16_t*>(out.relu_y) + ((int64_t{place.n} * shape.p + p) * shape.q + q) * shape.k;
    asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
  }
}

template <class T, int matrices, int columns>
__global__ void __launch_bounds__(direct_threads, 2) direct_tiles(const __grid_constant__ DirectShape shape, const uint16_t* x,
                                                                  const uint16_t* w, const __grid_constant__ DirectOutput out) {
  extern __shared__ __align__(128) unsigned char shared[];
  unsigned char *filters = shared, *image = filters + shape.filter_bytes(), *raw = image + shape.image_bytes();
  unsigned char* staging_all = raw + shape.raw_tile_bytes();
  constexpr int staging_bytes = matrix_pixels * (columns * 16 + 16);
  int* offsets = reinterpret_cast<int*>(staging_all + direct_warps * staging_bytes);
  float* bias = reinterpret_cast<float*>(offsets + shape.steps() * 2);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  load_filters(shape, w, filters);
  write_offsets(shape, offsets);
  for (int k = static_cast<int>(threadIdx.x); k < columns * 8; k += direct_threads)
    bias[k] = out.bias != nullptr && k < shape.k ? out.bias[k] : 0.0f;
  const int per_block = direct_warps * matrices * matrix_pixels;
  float totals[8] = {};
  for (int tile = static_cast<int>(blockIdx.x); tile < shape.tiles; tile += static_cast<int>(gridDim.x)) {
    const TilePlace place(shape, tile);
    if (out.relu_y != nullptr) prefetch_relu(shape, out, place);
    __syncthreads();
    load_image_tile(shape, place, x, raw, image);
    __syncthreads();
    for (int first = warp * matrices * matrix_pixels; first < shape.tile_h * shape.tile_w; first += per_block) {
      float d[matrices][columns][4] = {};
      multiply_tile<T, matrices, columns>(shape, first, shared_address(image), shared_address(filters), offsets, d);
#pragma unroll
      for (int t = 0; t < matrices; ++t)
        store_pixels<T, columns>(shape, out, place, first + t * matrix_pixels, d[t], bias, staging_all + warp * staging_bytes, totals);
    }
  }
  if (out.totals == nullptr) return;
  __syncthreads();
  store_totals<columns>(shape, out.totals, totals, reinterpret_cast<float*>(staging_all));
}

// ---- host ----

constexpr int most_direct_filters = 64;

int shared_bytes_of(const DirectShape& shape, int columns) {
  return shape.filter_bytes() + shape.image_bytes() + shape.raw_tile_bytes() + direct_warps * matrix_pixels * (columns * 16 + 16) +
         shape.offset_bytes() + columns * 8 * 4;
}

class DirectKernel final : public Kernel {
 public:
  DirectKernel(const DirectShape& shape, DType dtype, const Ends& ends) : Kernel("cuda"), shape_(shape), dtype_(dtype), ends_(ends) {}

  std::string algorithm() const override {
    return "tensor cores, tiles of " + std::to_string(shape_.tile_h) + "x" + std::to_string(shape_.tile_w) + " pixels";
  }
  void bind(Buffers buffers, void*) override {
    x_ = input_of<uint16_t>(buffers, ends_.image);
    w_ = input_of<uint16_t>(buffers, ends_.filter);
    out_ = {.y = buffers.out[0].data,
            .bias = ends_.bias ? input(buffers, 2) : nullptr,
            .relu = ends_.relu,
            .relu_y = ends_.relu_behind ? buffers.in[2].data : nullptr,
            .totals = ends_.totals ? output(buffers, 1) : nullptr};
  }
  int blocks() const {
    const int bytes = shared_bytes_of(shape_, columns());
    return std::min(shape_.tiles, planned_multiprocessors * std::clamp(shared_bytes_per_sm / (bytes + 1024), 1, 2));
  }
  void run(Stream& stream) override {
    if (dtype_ == DType::bf16)
      launch<__nv_bfloat16>(handle_of(stream));
    else
      launch<__half>(handle_of(stream));
  }

 private:
  int columns() const { return shape_.k <= 32 ? 4 : 8; }
  template <class T>
  void launch(cudaStream_t stream) {
    if (columns() == 4)
      launch_tiles<T, 4, 4>(stream);
    else
      launch_tiles<T, 2, 8>(stream);
  }
  template <class T, int matrices, int columns>
  void launch_tiles(cudaStream_t stream) {
    const auto kernel = direct_tiles<T, matrices, columns>;
    static const bool prepared = [&] {
      check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes_per_sm - 1024),
                 "cudaFuncSetAttribute");
      return true;
    }();
    static_cast<void>(prepared);
    kernel<<<static_cast<unsigned>(blocks()), direct_threads, static_cast<size_t>(shared_bytes_of(shape_, columns)), stream>>>(shape_, x_,
                                                                                                                               w_, out_);
    check_launch("direct_tiles");
  }

  DirectShape shape_;
  DType dtype_;
  Ends ends_;
  const uint16_t *x_ = nullptr, *w_ = nullptr;
  DirectOutput out_{};
};

// `image`: what slides under the window; for the gradient by the image that of the outputs.
std::unique_ptr<DirectKernel> direct_kernel(const Conv2dShape& image, bool transposed, DType dtype, const Ends& ends) {
  std::optional<DirectShape> shape = direct_shape(image);
  if (!shape) return nullptr;
  shape->transposed = transposed;
  const int columns = shape->k <= 32 ? 4 : 8, pixels = direct_warps * matrix_pixels * (shape->k <= 32 ? 4 : 2);
  for (const int tile_w : {32, 16})
    for (int tile_h = pixels / tile_w; tile_h >= 4; tile_h /= 2) {
      set_tile(*shape, tile_h, tile_w);
      const bool fits = shared_bytes_of(*shape, columns) <= shared_bytes_per_sm / 2 - 1024;
      if (fits && (shape->q > 16 || tile_w == 16) && (shape->folded || shape->tiles >= planned_multiprocessors))
        return std::make_unique<DirectKernel>(*shape, dtype, ends);
    }
  return nullptr;
}

bool has_few_channels(const Conv2dShape& shape) { return shape.c <= 32 || shape.k <= 32; }

}  // namespace

std::optional<DirectShape> direct_shape(const Conv2dShape& image) {
  const Window& window = image.window;
  const int64_t folded_line = window.s * image.c;
  DirectShape shape{.n = static_cast<int>(image.n),
                    .h = static_cast<int>(image.h),
                    .w = static_cast<int>(image.w),
                    .c = static_cast<int>(image.c),
                    .p = static_cast<int>(image.p()),
                    .q = static_cast<int>(image.q()),
                    .k = static_cast<int>(image.k),
                    .r = static_cast<int>(window.r),
                    .s = static_cast<int>(window.s),
                    .stride_h = static_cast<int>(window.stride_h),
                    .stride_w = static_cast<int>(window.stride_w),
                    .pad_top = static_cast<int>(window.pad_top),
                    .pad_left = static_cast<int>(window.pad_left),
                    .folded = image.c % 8 != 0};
  if (shape.folded && (folded_line > 32 || image.w * image.c % 8 != 0)) return std::nullopt;
  shape.line = static_cast<int>(ceil_of(shape.folded ? folded_line : image.c, 8)) * 8;
  shape.pitch = odd_pitch(shape.line * 2);
  shape.filter_pitch = odd_pitch(shape.steps() * 32);
  shape.by_eights = Divider(shape.line / 8);
  return shape;
}

void set_tile(DirectShape& shape, int tile_h, int tile_w) {
  shape.tile_h = tile_h;
  shape.tile_w = tile_w;
  shape.tiles_h = static_cast<int>(ceil_of(shape.p, tile_h));
  shape.tiles_w = static_cast<int>(ceil_of(shape.q, tile_w));
  shape.tiles = shape.n * shape.tiles_h * shape.tiles_w;
  shape.rows = (tile_h - 1) * shape.stride_h + shape.r;
  shape.columns = shape.folded ? tile_w : (tile_w - 1) * shape.stride_w + shape.s;
  shape.raw_bytes = static_cast<int>(ceil_of(((tile_w - 1) * shape.stride_w + shape.s) * shape.c * 2 + 15, 16)) * 16;
  shape.by_tiles_w = Divider(shape.tiles_w);
  shape.by_tiles_h = Divider(shape.tiles_h);
  shape.by_columns = Divider(shape.columns);
  shape.by_tile_w = Divider(tile_w);
  shape.by_raw = Divider(shape.raw_bytes / 16);
}

bool suits_direct(const Conv2dShape& shape, const Types& types) {
  Conv2dShape even = shape;
  even.c = 8;
  const Window& window = shape.window;
  return suits_tensor_cores(even, types) && shape.k <= most_direct_filters && shape.c <= 64 && window.dilation_h == 1 &&
         window.dilation_w == 1 && shape.p() * shape.q() >= (shape.c % 8 == 0 ? 1024 : 256) &&
         shape.n * shape.p() * shape.q() <= largest_count;
}

KernelPtr direct_on_tensor_cores(const Conv2dForward& op, const Ends& ends) {
  if (!suits_direct(op.shape, op.types) || !has_few_channels(op.shape)) return nullptr;
  return direct_kernel(op.shape, false, op.types.x, ends);
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
