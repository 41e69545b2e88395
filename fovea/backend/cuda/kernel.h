// How the kernels of this backend are made, how they reach their buffers and their stream, and which sizes they take.
#pragma once

#include <algorithm>
#include <utility>

#include "fovea/backend/backend.h"
#include "fovea/device/cuda.h"

namespace fovea::cuda {

struct Launch {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  float* floats() const { return static_cast<float*>(workspace); }
};

template <class Op, class Function>
class CudaKernel final : public Kernel {
 public:
  CudaKernel(std::string algorithm, Op op, Function function, size_t workspace_bytes)
      : Kernel("cuda"), algorithm_(std::move(algorithm)), op_(std::move(op)), function_(function), workspace_bytes_(workspace_bytes) {}

  std::string algorithm() const override { return algorithm_; }
  size_t workspace_bytes() const override { return workspace_bytes_; }
  void bind(Buffers buffers, void* workspace) override {
    buffers_ = std::move(buffers);
    workspace_ = workspace;
  }
  void run(Stream& stream) override { function_(op_, buffers_, {handle_of(stream), workspace_}); }

 private:
  std::string algorithm_;
  Op op_;
  Function function_;
  size_t workspace_bytes_;
  Buffers buffers_;
  void* workspace_ = nullptr;
};

// function(op, buffers, launch) enqueues the kernels.
template <class Op, class Function>
KernelPtr kernel(std::string algorithm, Op op, Function function, size_t workspace_bytes = 0) {
  return std::make_unique<CudaKernel<Op, Function>>(std::move(algorithm), std::move(op), function, workspace_bytes);
}

inline const float* input(const Buffers& buffers, size_t i) { return static_cast<const float*>(buffers.in[i].data); }
inline float* output(const Buffers& buffers, size_t i) { return static_cast<float*>(buffers.out[i].data); }
template <class T>
const T* input_of(const Buffers& buffers, size_t i) {
  return static_cast<const T*>(buffers.in[i].data);
}
template <class T>
T* output_of(const Buffers& buffers, size_t i) {
  return static_cast<T*>(buffers.out[i].data);
}
inline std::byte* at(const Tensor& tensor, int64_t element) {
  return static_cast<std::byte*>(tensor.data) + static_cast<size_t>(element) * bytes_of(tensor.dtype);
}

// What a kernel keeps in device memory of its own, written before the first run.
class DeviceTable {
 public:
  explicit DeviceTable(std::span<const std::byte> bytes);
  ~DeviceTable() { cudaFree(data_); }
  DeviceTable(const DeviceTable&) = delete;
  DeviceTable& operator=(const DeviceTable&) = delete;
  const void* data() const { return data_; }
  void* data() { return data_; }

 private:
  void* data_ = nullptr;
};

// The type of the operator's values: f32, bf16 or fp16. Throws Error (internal) unless all its types are those of one of these precisions.
DType require_values(const Op& op);

// Kernels count in 32 bits, over as many images at a time as this allows. Throws Error (internal) if not even one can be counted.
constexpr int64_t largest_count = (int64_t{1} << 31) - 1024;  // the end of the last tile still counts in 31 bits
constexpr int64_t largest_extent = int64_t{1} << 28;          // of an image with its padding, and of strides
void require_countable(const Op& op, int64_t elements);
void require_countable(const Op& op, const Window& window, int64_t h, int64_t w);

// body(first, count) for parts of n images, each of at most largest_count elements. `elements` is the larger of input and output.
template <class Body>
void for_image_ranges(int64_t n, int64_t elements, Body body) {
  const int64_t most = std::max<int64_t>(1, largest_count / elements);
  for (int64_t first = 0; first < n; first += most) body(first, static_cast<int>(std::min(most, n - first)));
}

inline void check_launch(const char* kernel) { check_cuda(cudaGetLastError(), kernel); }

constexpr int block_threads = 256;
// Work is cut up for a GPU with this many multiprocessors, so that sums do not depend on the GPU.
constexpr int planned_multiprocessors = 132;

constexpr int64_t ceil_of(int64_t items, int64_t per_part) { return (items + per_part - 1) / per_part; }

// Blocks for a loop that strides by the grid.
inline unsigned blocks_for(int64_t items, int64_t per_block = block_threads) {
  return static_cast<unsigned>(std::min<int64_t>((items + per_block - 1) / per_block, 1 << 16));
}
// Blocks where each takes one part and no more.
inline unsigned blocks_of_each(int64_t items, int64_t per_block = block_threads) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

}  // namespace fovea::cuda
