// The gradient of the filters of few channels: blocks stay, each sums over its tiles of the images in registers, and the sums of the blocks
// are added up in their order.
#include "fovea/backend/cuda/direct_tiles.cuh"
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
    const Divided at = shape.by_tile_w.divide(pixel);
    const int p = place.p + at.quotient, q = place.q + at.remainder;
    const bool inside = p < shape.p && q < shape.q;
    const int64_t from = inside ? ((int64_t{place.n} * shape.p + p) * shape.q + q) * shape.k + eight * 8 : 0;
    copy_sixteen(base + pixel * pitch + eight * 16, dy + from, inside);
  }
  wait_for_all_copies();
}

// A warp sums up 16 rows filters by 8 columns numbers of them. out: (blocks, k, groups 8).
template <class T, int rows, int columns>
__global__ void __launch_bounds__(direct_threads, rows* columns > 12 ? 1 : 2)
    direct_filters(const __grid_constant__ DirectShape shape, const uint16_t* x, const uint16_t* dy, float* out) {
  extern __shared__ __align__(128) unsigned char shared[];
  constexpr int pitch = rows * 32 + 16;
  const int pixels = shape.tile_h * shape.tile_w;
  unsigned char *gradient = shared, *image = gradient + pixels * pitch, *raw = image + shape.image_bytes();
  int* offsets = reinterpret_cast<int*>(raw + shape.raw_tile_bytes());
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, first_group = warp * columns;
  write_offsets(shape, offsets);
  for (int i = static_cast<int>(threadIdx.x) * 16; i < pixels * pitch; i += direct_threads * 16)
    *reinterpret_cast<uint4*>(gradient + i) = make_uint4(0, 0, 0, 0);  // filters beyond the last one stay zero
  __syncthreads();
  int group_offset[(columns + 1) / 2];
#pragma unroll
  for (int j = 0; j < (columns + 1) / 2; ++j) group_offset[j] = offsets[min(first_group + 2 * j + lane / 16, shape.groups() - 1)];
  float d[rows][columns][4] = {};
  for (int tile = static_cast<int>(blockIdx.x); tile < shape.tiles; tile += static_cast<int>(gridDim.x)) {
    const TilePlace place(shape, tile);
    load_gradient(shape, place, dy, pitch, gradient);
    load_image_tile(shape, place, x, raw, image);
    __syncthreads();
    if (first_group < shape.groups())
      for (int first = 0; first < pixels; first += matrix_pixels) {
        const uint32_t row = shared_address(image) + window_offset(shape, first + lane % 16);
        uint32_t a[rows][4];
#pragma unroll
        for (int m = 0; m < rows; ++m)
          load_transposed(a[m], shared_address(gradient) + (first + lane / 16 * 8 + lane % 8) * pitch + (m * 16 + lane / 8 % 2 * 8) * 2);
#pragma unroll
        for (int j = 0; j < columns; j += 2) {
          uint32_t b[4];
          load_transposed(b, row + group_offset[j / 2]);
#pragma unroll
          for (int m = 0; m < rows; ++m) {
            multiply_add(d[m][j], a[m], b[0], b[1], T());
            if (j + 1 < columns) multiply_add(d[m][j + 1], a[m], b[2], b[3], T());
          }
        }
      }
    __syncthreads();
  }
  float* to = out + int64_t{blockIdx.x} * shape.k * shape.groups() * 8;
#pragma unroll
  for (int m = 0; m < rows; ++m)
#pragma unroll
    for (int j = 0; j < columns; ++j) {
      if (first_group + j >= shape.groups()) break;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int k = m * 16 + half * 8 + lane / 4;
        if (k < shape.k)
          *reinterpret_cast<float2*>(to + (int64_t{k} * shape.groups() + first_group + j) * 8 + lane % 4 * 2) =
              make_float2(d[m][j][2 * half], d[m][j][2 * half + 1]);
      }
    }
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
Choice choose(const DirectShape& shape) {
  const int columns = (shape.groups() + direct_warps - 1) / direct_warps;
  return {shape.k <= 32 ? 2 : 4, columns <= 1 ? 1 : columns <= 3 ? 3 : 5};
}
int shared_bytes_of(const DirectShape& shape, const Choice& choice) {
  return shape.tile_h * shape.tile_w * (choice.rows * 32 + 16) + shape.image_bytes() + shape.raw_tile_bytes() + shape.offset_bytes();
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
    return "tensor cores, tiles of " + std::to_string(shape_.tile_h) + "x" + std::to_string(shape_.tile_w) + " pixels, sum in " +
           std::to_string(blocks_) + " parts";
  }
  size_t workspace_bytes() const override {
    return static_cast<size_t>(blocks_) * static_cast<size_t>(shape_.k * shape_.groups() * 8) * sizeof(float);
  }
  void bind(Buffers buffers, void* workspace) override {
    x_ = input_of<uint16_t>(buffers, 0);
    dy_ = input_of<uint16_t>(buffers, 1);
    dw_ = output(buffers, 0);
    parts_ = static_cast<float*>(workspace);
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
  template <class T>
  void launch(cudaStream_t stream) {
    if (choice_.rows == 2) return launch_rows<T, 2>(stream);
    launch_rows<T, 4>(stream);
  }
  template <class T, int rows>
  void launch_rows(cudaStream_t stream) {
    const auto kernel = choice_.columns == 1   ? direct_filters<T, rows, 1>
                        : choice_.columns == 3 ? direct_filters<T, rows, 3>
                                               : direct_filters<T, rows, 5>;
    const int bytes = shared_bytes_of(shape_, choice_);
    if (!prepared_) {
      check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes_per_sm - 1024),
                 "cudaFuncSetAttribute");
      prepared_ = true;
    }
    kernel<<<static_cast<unsigned>(blocks_), direct_threads, static_cast<size_t>(bytes), stream>>>(shape_, x_, dy_, parts_);
    check_launch("direct_filters");
  }

  DirectShape shape_;
  Choice choice_;
  DType dtype_;
  Into into_;
  int blocks_;
  bool prepared_ = false;
  const uint16_t *x_ = nullptr, *dy_ = nullptr;
  float *dw_ = nullptr, *parts_ = nullptr;
};

}  // namespace

KernelPtr direct_on_tensor_cores(const Conv2dBackwardFilter& op) {
  if (!suits_direct(op.shape, op.types) || op.shape.c > 32 || (op.shape.c % 8 == 0 && op.shape.k > 32)) return nullptr;
  std::optional<DirectShape> shape = direct_shape(op.shape);
  if (!shape || shape->groups() > 5 * direct_warps) return nullptr;
  for (const int tile_w : {32, 16})
    for (int tile_h = 16; tile_h >= 4; tile_h /= 2) {
      set_tile(*shape, tile_h, tile_w);
      const Choice choice = choose(*shape);
      const bool fits = shared_bytes_of(*shape, choice) <= shared_bytes_per_sm / choice.blocks_per_sm() - 1024;
      if (fits && (shape->q > 16 || tile_w == 16) && shape->tiles >= planned_multiprocessors)
        return std::make_unique<DirectFilterKernel>(*shape, op.types.x, op.into);
    }
  return nullptr;
}

}  // namespace fovea::cuda
