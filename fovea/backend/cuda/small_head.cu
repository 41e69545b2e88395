// The linear layers behind the convolutions of a small network, their loss and its gradient by the flat input, for eight images a block.
#include "fovea/backend/cuda/small_launch.cuh"
#include "fovea/backend/cuda/small_memory.cuh"

namespace fovea::cuda {
namespace {

constexpr unsigned whole_warp = 0xFFFFFFFFu;

// d (16 rows, 8 images) over steps of sixteen numbers of the contraction; the matrix as it is, or transposed.
template <class T, bool transposed>
__device__ void multiply_images(float (&d)[4], uint32_t matrix, int matrix_step, uint32_t images, int2 steps) {
#pragma unroll 4
  for (int step = steps.x; step < steps.y; ++step) {
    uint32_t a[4], b[4];
    if (transposed)
      load_transposed(a, matrix + step * matrix_step);
    else
      load_matrices(a, matrix + step * matrix_step);
    load_matrices(b, images + step * 32);
    multiply_add(d, a, b[0], b[1], T());
  }
}

// The images of a block.
struct Images {
  int first, count;
};

template <class T>
__device__ void head_forward(const HeadJob& job, unsigned char* shared, const Images& images, const Team& block) {
  const int lane = block.lane();
  float* sums = reinterpret_cast<float*>(shared + job.sums_at);  // (splits, rows, 8)
  for (int i = 0; i < job.stages; ++i) {
    const LinearStage& stage = job.stage[i];
    const int rows = stage.rows(), units = rows / 16 * stage.splits, steps = (stage.c + 15) / 16;
    for (int unit = block.warp(); unit < units; unit += block.warps()) {
      const int tile = unit / stage.splits, split = unit - tile * stage.splits;
      float d[4] = {};
      const uint32_t matrix = shared_address(shared + stage.filter_at) + (tile * 16 + lane % 16) * stage.pitch + lane / 16 * 16;
      const uint32_t x = shared_address(shared + stage.x_at) + lane % 8 * stage.pitch + lane / 8 % 2 * 16;
      multiply_images<T, false>(d, matrix, 32, x, make_int2(steps * split / stage.splits, steps * (split + 1) / stage.splits));
      float* to = sums + (split * rows + tile * 16 + lane / 4) * 8 + lane % 4 * 2;
      *reinterpret_cast<float2*>(to) = make_float2(d[0], d[1]);
      *reinterpret_cast<float2*>(to + 64) = make_float2(d[2], d[3]);
    }
    __syncthreads();
    for (int j = block.thread; j < stage.k * 8; j += block.threads) {
      const int k = j / 8, image = j % 8;
      float sum = 0;
      for (int split = 0; split < stage.splits; ++split) sum += sums[split * rows * 8 + j];
      sum += reinterpret_cast<const float*>(shared + stage.bias_at)[k];
      if (i + 1 == job.stages) {
        sums[j] = sum;
        continue;
      }
      const LinearStage& next = job.stage[i + 1];
      const T value = narrowed<T>(sum > 0 || sum != sum ? sum : 0);
      *reinterpret_cast<T*>(shared + next.x_at + image * next.pitch + k * 2) = value;
      if (image < images.count) static_cast<T*>(next.x)[static_cast<int64_t>(images.first + image) * stage.k + k] = value;
    }
    __syncthreads();
  }
}

// A warp for an image. Powers as softmax_cross_entropy has them: without the largest one, so that they stay exact where one class is nearly
// certain.
template <class T>
__device__ void head_loss(const HeadJob& job, unsigned char* shared, const Images& images, const Team& block) {
  const int warp = block.warp(), lane = block.lane();
  if (warp >= images.count) return;
  const LinearStage& top = job.stage[job.stages - 1];
  const float* logits = reinterpret_cast<const float*>(shared + job.sums_at) + warp;  // (k, 8)
  const int64_t n = images.first + warp;
  const int32_t t = job.t[n];
  float largest = -INFINITY;
  int best = top.k;
  for (int k = lane; k < top.k; k += 32)
    if (logits[k * 8] > largest || (k == 0 && isnan(logits[0]))) {
      largest = logits[k * 8];
      best = k;
    }
  for (int offset = 16; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(whole_warp, largest, offset);
    const int at = __shfl_xor_sync(whole_warp, best, offset);
    if (other > largest || (other == largest && at < best)) {
      largest = other;
      best = at;
    }
  }
  if (isnan(logits[0])) {
    largest = logits[0];
    best = 0;
  }
  float others = 0;
  for (int k = lane; k < top.k; k += 32)
    if (k != best) others += expf(logits[k * 8] - largest);
  for (int offset = 16; offset > 0; offset /= 2) others += __shfl_xor_sync(whole_warp, others, offset);
  const float sum = others + expf(largest - largest), log_sum = log1pf(others);
  const float label = 1 - job.smoothing, rest = job.smoothing / static_cast<float>(top.k);
  const float weight = t == ignored_label ? 0 : job.class_weights == nullptr ? 1 : job.class_weights[t];
  const float scale = job.loss_scale == nullptr ? 1 : job.loss_scale->scale;
  float loss = 0;
  for (int k = lane; k < top.k; k += 32) {
    const float x = logits[k * 8];
    loss += ((k == t ? label : 0) + rest) * (log_sum + (largest - x));
    float g = expf(x - largest) / sum;
    if (k == t) g = k == best ? job.smoothing - others / sum : g - label;
    const T value = narrowed<T>(t == ignored_label ? 0 : weight * (g - rest) / job.divisor * scale);
    *reinterpret_cast<T*>(shared + job.gradient_at + warp * job.gradient_pitch + k * 2) = value;
    static_cast<T*>(top.dy)[n * top.k + k] = value;
  }
  for (int offset = 16; offset > 0; offset /= 2) loss += __shfl_xor_sync(whole_warp, loss, offset);
  if (lane > 0) return;
  job.loss[n] = t == ignored_label ? 0 : weight * loss;
  job.correct[n] = t == ignored_label ? -1 : best == t;
}

// The gradient of a layer's input is that of the sums below where relu lets it through.
template <class T>
__device__ void write_gradient(const HeadJob& job, int number, unsigned char* shared, const Images& images, int c, int image, float sum) {
  const LinearStage& stage = job.stage[number];
  const int64_t at = static_cast<int64_t>(images.first + image) * stage.c + c;
  if (number == 0) {
    static_cast<T*>(job.dx)[at] = narrowed<T>(sum);
    return;
  }
  T* y = reinterpret_cast<T*>(shared + stage.x_at + image * stage.pitch + c * 2);
  *y = narrowed<T>(widened(*y) > 0 ? sum : 0);
  static_cast<T*>(job.stage[number - 1].dy)[at] = *y;
}

template <class T>
__device__ void head_backward(const HeadJob& job, unsigned char* shared, const Images& images, const Team& block) {
  const int lane = block.lane();
  uint32_t gradient = shared_address(shared + job.gradient_at);
  int pitch = job.gradient_pitch;
  for (int i = job.stages - 1; i >= 0; --i) {
    const LinearStage& stage = job.stage[i];
    const int tiles = (stage.c + 15) / 16, steps = stage.rows() / 16;
    for (int tile = block.warp(); tile < tiles; tile += block.warps()) {
      float sums[4] = {};
      const uint32_t matrix =
          shared_address(shared + stage.filter_at) + (lane % 8 + lane / 16 * 8) * stage.pitch + (tile * 16 + lane / 8 % 2 * 8) * 2;
      multiply_images<T, true>(sums, matrix, 16 * stage.pitch, gradient + lane % 8 * pitch + lane / 8 % 2 * 16, make_int2(0, steps));
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int c = tile * 16 + lane / 4 + e / 2 * 8, image = lane % 4 * 2 + e % 2;
        if (c < stage.c && image < images.count) write_gradient<T>(job, i, shared, images, c, image, sums[e]);
      }
    }
    __syncthreads();
    gradient = shared_address(shared + stage.x_at);  // its place has been taken
    pitch = stage.pitch;
  }
}

template <class T>
__global__ void __launch_bounds__(image_threads) small_head(const __grid_constant__ HeadJob job) {
  unsigned char* const shared = shared_memory();
  const Team block = {static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x), 0};
  const int first = static_cast<int>(blockIdx.x) * head_images;
  const Images images = {first, min(head_images, job.images - first)};
  clear(shared, job.bytes, block);
  __syncthreads();
  for (int i = 0; i < job.stages; ++i) {
    const LinearStage& stage = job.stage[i];
    copy_async(stage.matrix, stage.w, shared + stage.filter_at, block);
    for (int j = block.thread; j < stage.k; j += block.threads) reinterpret_cast<float*>(shared + stage.bias_at)[j] = stage.b[j];
  }
  wait_for_kernel_before();
  let_next_kernel_start();
  const LinearStage& bottom = job.stage[0];
  copy_async(bottom.input, static_cast<const T*>(bottom.x) + static_cast<int64_t>(first) * bottom.c, shared + bottom.x_at, block,
             images.count);
  end_copies();
  wait_for_copies<0>();
  __syncthreads();
  head_forward<T>(job, shared, images, block);
  head_loss<T>(job, shared, images, block);
  __syncthreads();
  head_backward<T>(job, shared, images, block);
}

}  // namespace

void run_small_head(const HeadJob& job, const SmallLaunch& launch) {
  const int blocks = (job.images + head_images - 1) / head_images;
  small_launch<small_head<BFloat16>, small_head<Float16>>(launch, {blocks, image_threads, job.bytes}, job);
}
}  // namespace fovea::cuda
