// The optimisers: all parameters in one launch, or nothing where a loss or a gradient is not finite. Every kernel may start early, and what
// it can read or work out before the one in front of it has ended it does then: what only an update before this one wrote.
#include <span>

#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/dependent.cuh"
#include "fovea/backend/cuda/dependent_launch.h"
#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/loss_scale.h"
#include "fovea/base/error.h"

namespace fovea::cuda {
namespace {

constexpr int chunk_elements = 4 * block_threads;

// A piece of one parameter and of its state; a block takes it.
struct Chunk {
  const float* dw;
  float* w;
  float* m;
  float* v;
  float* average;
  void* working;  // its copy in 16 bits; nullptr: none
  int elements;
  float decay, rate_scale;
};

// One element of a chunk.
struct Element {
  float w, m, v;
};

// By which every gradient is scaled.
struct Clip {
  const float* norm;  // nullptr: by 1
  float largest;
  __device__ float factor() const { return norm == nullptr ? 1 : fminf(1, largest / (*norm + 1e-6f)); }
};

// What all elements of an update share, worked out by one thread: the powers of a step take it a microsecond.
struct Shared {
  double correction1, correction2;  // 1 - beta^t of Adam
  float learning_rate;
  uint32_t step, counted_step;  // of the control; without those that an overflow left out
};

struct SgdRule {
  float momentum;
  float direct, through;  // change = direct g + through m: (0, 1) without Nesterov, (1, momentum) with it

  explicit SgdRule(const Sgd& sgd)
      : momentum(sgd.momentum),
        direct(sgd.nesterov == Sgd::Nesterov::yes ? 1.0f : 0.0f),
        through(sgd.nesterov == Sgd::Nesterov::yes ? sgd.momentum : 1.0f) {}

  struct Step {
    float rate, clip;
  };
  __device__ void correct(Shared&) const {}
  __device__ Step step(const Shared& shared, float rate_scale, float clip) const { return {shared.learning_rate * rate_scale, clip}; }
  __device__ void apply(const Step& step, const Chunk& chunk, float dw, Element& element) const {
    const float w = element.w, g = fmaf(chunk.decay, w, dw * step.clip);
    float change = g;
    if (chunk.m != nullptr) {
      element.m = fmaf(momentum, element.m, g);
      change = fmaf(direct, g, through * element.m);
    }
    element.w = fmaf(-step.rate, change, w);
  }
};

struct AdamRule {
  float beta1, beta2, rest1, rest2, epsilon;  // rest = 1 - beta
  bool decoupled;                             // AdamW: the decay is no part of the gradient

  template <class Adams>
  explicit AdamRule(const Adams& adam)
      : beta1(adam.beta1),
        beta2(adam.beta2),
        rest1(static_cast<float>(1 - static_cast<double>(adam.beta1))),
        rest2(static_cast<float>(1 - static_cast<double>(adam.beta2))),
        epsilon(adam.epsilon),
        decoupled(std::is_same_v<Adams, AdamW>) {}

  struct Step {
    float rate, correction2;  // the rate with the correction of the first moment
    float plain_rate, clip;
  };
  __device__ void correct(Shared& shared) const {
    const double t = static_cast<double>(shared.counted_step) + 1;
    shared.correction1 = 1 - pow(static_cast<double>(beta1), t);
    shared.correction2 = 1 - pow(static_cast<double>(beta2), t);
  }
  __device__ Step step(const Shared& shared, float rate_scale, float clip) const {
    const double rate = static_cast<double>(shared.learning_rate) * static_cast<double>(rate_scale);
    return {static_cast<float>(rate / shared.correction1), static_cast<float>(1 / shared.correction2), static_cast<float>(rate), clip};
  }
  __device__ void apply(const Step& step, const Chunk& chunk, float dw, Element& element) const {
    float w = element.w, g = dw * step.clip;
    if (decoupled)
      w = fmaf(-step.plain_rate * chunk.decay, w, w);
    else
      g = fmaf(chunk.decay, w, g);
    element.m = fmaf(beta1, element.m, rest1 * g);
    element.v = fmaf(beta2, element.v, rest2 * g * g);
    element.w = w - step.rate * element.m / (sqrtf(element.v * step.correction2) + epsilon);
  }
};

// The squares are the first moment of the operator, the momentum its second.
struct RmsPropRule {
  float alpha, rest, epsilon, momentum;

  explicit RmsPropRule(const RmsProp& rule)
      : alpha(rule.alpha), rest(static_cast<float>(1 - static_cast<double>(rule.alpha))), epsilon(rule.epsilon), momentum(rule.momentum) {}

  struct Step {
    float rate, clip;
  };
  __device__ void correct(Shared&) const {}
  __device__ Step step(const Shared& shared, float rate_scale, float clip) const { return {shared.learning_rate * rate_scale, clip}; }
  __device__ void apply(const Step& step, const Chunk& chunk, float dw, Element& element) const {
    const float w = element.w, g = fmaf(chunk.decay, w, dw * step.clip);
    element.m = fmaf(alpha, element.m, rest * g * g);
    float change = g / (sqrtf(element.m) + epsilon);
    if (chunk.v != nullptr) {
      change = fmaf(momentum, element.v, change);
      element.v = change;
    }
    element.w = fmaf(-step.rate, change, w);
  }
};

// What every rule does beside its own step.
struct Frame {
  const Chunk* chunks;
  StepControl* control;
  Metrics* metrics;
  LossScale* loss_scale;  // nullptr: none
  Shared* shared;
  Clip clip;
  float ema_decay;
  DType working;    // of the working copies
  uint64_t images;  // by which the control is moved on; 0: it stays

  __device__ bool changes_nothing() const { return metrics->non_finite > 0 || (loss_scale != nullptr && loss_scale->overflow != 0); }
  __device__ float factor() const { return loss_scale == nullptr ? clip.factor() : clip.factor() / loss_scale->scale; }
};

// Nothing behind the check reads the control of this step any more. The update's last launch waits for it before it lets the next step's
// first kernel begin.
__device__ void move_on(const Frame& frame) {
  if (frame.images == 0) return;
  frame.control->position += frame.images;
  ++frame.control->step;
}

// A gradient that is not finite raises the flag before anything moves. What the update shares is worked out meanwhile.
template <class Rule>
__global__ void __launch_bounds__(block_threads) check_gradients(Rule rule, Frame frame) {
  const Chunk chunk = frame.chunks[blockIdx.x];
  const bool is_first = blockIdx.x == 0 && threadIdx.x == 0;
  if (is_first) {
    Shared shared;
    shared.learning_rate = __ldcg(&frame.control->learning_rate);
    shared.step = __ldcg(&frame.control->step);
    shared.counted_step = shared.step - (frame.loss_scale == nullptr ? 0 : __ldcg(&frame.loss_scale->left_out));
    rule.correct(shared);
    *frame.shared = shared;
  }
  wait_for_kernel_before();
  let_next_kernel_start();
  if (is_first) move_on(frame);
  int bad = 0;
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < chunk_elements; i += block_threads)
    if (i < chunk.elements) bad |= !isfinite(chunk.dw[i]);
  if (frame.clip.norm != nullptr) bad |= !isfinite(*frame.clip.norm);
  if (!__syncthreads_or(bad) || threadIdx.x > 0) return;
  if (frame.loss_scale != nullptr)
    atomicMax(&frame.loss_scale->overflow, 1u);
  else
    atomicMax(reinterpret_cast<unsigned long long*>(&frame.metrics->non_finite), 1ull);  // it is a flag: how many blocks does not matter
}

__device__ void write_working_copy(const Frame& frame, const Chunk& chunk, int i, float w) {
  if (chunk.working == nullptr) return;
  if (frame.working == DType::bf16)
    static_cast<BFloat16*>(chunk.working)[i] = narrowed<BFloat16>(w);
  else if (frame.working == DType::fp16)
    static_cast<Float16*>(chunk.working)[i] = narrowed<Float16>(w);
  else
    static_cast<float*>(chunk.working)[i] = w;
}

template <class Rule>
__global__ void __launch_bounds__(block_threads) update(Rule rule, Frame frame) {
  constexpr int of_thread = chunk_elements / block_threads;
  const Chunk chunk = frame.chunks[blockIdx.x];
  const int first = static_cast<int>(threadIdx.x);
  Element elements[of_thread] = {};
#pragma unroll
  for (int j = 0; j < of_thread; ++j) {  // past the L1 cache, which may hold what stood there before the update in front of this one
    const int i = first + j * block_threads;
    if (i >= chunk.elements) continue;
    elements[j].w = __ldcg(chunk.w + i);
    if (chunk.m != nullptr) elements[j].m = __ldcg(chunk.m + i);
    if (chunk.v != nullptr) elements[j].v = __ldcg(chunk.v + i);
  }
  wait_for_kernel_before();
  let_next_kernel_start();
  if (frame.changes_nothing()) {
    if (frame.metrics->non_finite > 0 && blockIdx.x == 0 && threadIdx.x == 0 && frame.metrics->left_out == 0)
      frame.metrics->left_out = frame.shared->step + 1ull;
    return;
  }
  __shared__ typename Rule::Step step;
  if (threadIdx.x == 0) step = rule.step(*frame.shared, chunk.rate_scale, frame.factor());
  float dw[of_thread] = {};
#pragma unroll
  for (int j = 0; j < of_thread; ++j)
    if (const int i = first + j * block_threads; i < chunk.elements) dw[j] = chunk.dw[i];
  __syncthreads();
#pragma unroll
  for (int j = 0; j < of_thread; ++j) {
    const int i = first + j * block_threads;
    if (i >= chunk.elements) continue;
    Element& element = elements[j];
    rule.apply(step, chunk, dw[j], element);
    chunk.w[i] = element.w;
    if (chunk.m != nullptr) chunk.m[i] = element.m;
    if (chunk.v != nullptr) chunk.v[i] = element.v;
    write_working_copy(frame, chunk, i, element.w);
  }
  if (chunk.average == nullptr) return;
  const float steps = static_cast<float>(frame.shared->counted_step), decay = fminf(frame.ema_decay, (1 + steps) / (10 + steps));
#pragma unroll
  for (int j = 0; j < of_thread; ++j)
    if (const int i = first + j * block_threads; i < chunk.elements)
      chunk.average[i] = fmaf(decay, chunk.average[i], (1 - decay) * elements[j].w);
}

// The statistics of one batch norm, from those of one micro-batch; the micro-batches of a norm follow each other.
struct Statistics {
  const float *batch_mean, *batch_variance;
  float *mean, *variance;
  float momentum, unbias;
};
struct Norm {
  int c, first, count;  // of its Statistics
};

__global__ void __launch_bounds__(block_threads) move_running(const Norm* norms, const Statistics* statistics, Frame frame) {
  wait_for_kernel_before();
  let_next_kernel_start();
  if (frame.changes_nothing()) return;
  const Norm norm = norms[blockIdx.x];
  for (int i = norm.first; i < norm.first + norm.count; ++i) {
    const Statistics from = statistics[i];
    const float rest = 1 - from.momentum;
    for (int c = static_cast<int>(threadIdx.x); c < norm.c; c += block_threads) {
      from.mean[c] = fmaf(from.momentum, from.batch_mean[c], rest * from.mean[c]);
      from.variance[c] = fmaf(from.momentum, from.unbias * from.batch_variance[c], rest * from.variance[c]);
    }
  }
}

__global__ void follow_loss_scale(Frame frame) {
  wait_for_kernel_before();
  let_next_kernel_start();
  if (frame.metrics->non_finite > 0) {
    frame.loss_scale->overflow = 0;
  } else if (!follow_gradients(*frame.loss_scale)) {
    frame.metrics->non_finite = 1;
    frame.metrics->left_out = frame.shared->step + 1ull;
  }
}

template <class T>
std::unique_ptr<DeviceTable> table_of(const std::vector<T>& rows) {
  return std::make_unique<DeviceTable>(std::as_bytes(std::span(rows)));
}

class UpdateKernel final : public Kernel {
 public:
  explicit UpdateKernel(Update op) : Kernel("cuda"), op_(std::move(op)) {}
  std::string algorithm() const override { return "all gradients checked in one launch, all parameters moved in another"; }

  void bind(Buffers buffers, void*) override {
    const std::vector<Chunk> chunks = chunks_of(buffers);
    chunk_count_ = static_cast<int>(chunks.size());
    chunks_ = table_of(chunks);
    make_norms(buffers);
    frame_ = {
        .chunks = static_cast<const Chunk*>(chunks_->data()),
        .control = static_cast<StepControl*>(buffers.in[0].data),
        .metrics = static_cast<Metrics*>(buffers.in[1].data),
        .loss_scale = op_.scaling == Scaling::dynamic ? static_cast<LossScale*>(buffers.out[places_of(op_).loss_scale].data) : nullptr,
        .shared = static_cast<Shared*>(shared_.data()),
        .clip = {op_.clip_norm > 0 ? input(buffers, places_of(op_).norm) : nullptr, op_.clip_norm},
        .ema_decay = op_.ema_decay,
        .working = op_.types.x,
        .images = static_cast<uint64_t>(op_.images)};
  }

  void run(Stream& stream) override {
    if (chunk_count_ > 0) {
      if (const Sgd* sgd = std::get_if<Sgd>(&op_.rule)) launch(SgdRule(*sgd), stream);
      if (const Adam* adam = std::get_if<Adam>(&op_.rule)) launch(AdamRule(*adam), stream);
      if (const AdamW* adam_w = std::get_if<AdamW>(&op_.rule)) launch(AdamRule(*adam_w), stream);
      if (const RmsProp* rms_prop = std::get_if<RmsProp>(&op_.rule)) launch(RmsPropRule(*rms_prop), stream);
    }
    if (!op_.running.empty()) launch_move_running(stream);
    if (frame_.loss_scale != nullptr) launch_dependent("follow_loss_scale", follow_loss_scale, {}, stream, frame_);
  }

 private:
  void launch_move_running(Stream& stream) {
    launch_dependent("move_running", move_running, {static_cast<int>(op_.running.size()), block_threads}, stream,
                     static_cast<const Norm*>(norms_->data()), static_cast<const Statistics*>(statistics_->data()), frame_);
  }

  template <class Rule>
  void launch(const Rule& rule, Stream& stream) {
    const Grid grid = {chunk_count_, block_threads};
    if (op_.images > 0) {  // of a training step: others stand between it and the update before
      launch_dependent("check_gradients", check_gradients<Rule>, grid, stream, rule, frame_);
    } else {
      check_gradients<<<static_cast<unsigned>(grid.blocks), block_threads, 0, handle_of(stream)>>>(rule, frame_);
      check_launch("check_gradients");
    }
    launch_dependent("update", update<Rule>, grid, stream, rule, frame_);
  }

  std::vector<Chunk> chunks_of(const Buffers& buffers) const {
    std::vector<Chunk> chunks;
    const UpdatePlaces places = places_of(op_);
    const int moments = moments_of(op_.rule);
    size_t next_copy = places.working;
    for (size_t i = 0; i < op_.parameters.size(); ++i) {
      const Update::Parameter& parameter = op_.parameters[i];
      const Tensor* copy = parameter.working == Update::Working::copy ? &buffers.out[next_copy++] : nullptr;
      for (int64_t first = 0; first < parameter.elements; first += chunk_elements)
        chunks.push_back({.dw = input(buffers, 2 + i) + first,
                          .w = output(buffers, i) + first,
                          .m = moments > 0 ? output(buffers, places.moment1 + i) + first : nullptr,
                          .v = moments > 1 ? output(buffers, places.moment2 + i) + first : nullptr,
                          .average = op_.ema_decay > 0 ? output(buffers, places.average + i) + first : nullptr,
                          .working = copy == nullptr ? nullptr : at(*copy, first),
                          .elements = static_cast<int>(std::min<int64_t>(chunk_elements, parameter.elements - first)),
                          .decay = parameter.decay,
                          .rate_scale = parameter.rate_scale});
    }
    return chunks;
  }

  void make_norms(const Buffers& buffers) {
    std::vector<Norm> norms;
    std::vector<Statistics> statistics;
    const UpdatePlaces places = places_of(op_);
    size_t in = places.batch, out = places.running;
    for (const Update::Running& running : op_.running) {
      norms.push_back({static_cast<int>(running.c), static_cast<int>(statistics.size()), static_cast<int>(running.unbias.size())});
      for (const float unbias : running.unbias) {
        statistics.push_back(
            {input(buffers, in), input(buffers, in + 1), output(buffers, out), output(buffers, out + 1), running.momentum, unbias});
        in += 2;
      }
      out += 2;
    }
    norms_ = table_of(norms);
    statistics_ = table_of(statistics);
  }

  Update op_;
  std::unique_ptr<DeviceTable> chunks_, norms_, statistics_;
  DeviceTable shared_{std::as_bytes(std::span<const Shared, 1>({Shared()}))};
  int chunk_count_ = 0;
  Frame frame_{};
};

// ---- the norm of the gradients ----

struct Piece {
  const float* g;
  int elements;
};

// The same sum for all that call it with the same values, whatever the GPU: `block_threads` sums, then a tree of them.
__device__ double sum_of_block(double value) {
  __shared__ double sums[block_threads];
  sums[threadIdx.x] = value;
  for (int half = block_threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  __syncthreads();
  return sums[0];
}

__global__ void __launch_bounds__(block_threads) sum_of_squares(const Piece* pieces, double* sums) {
  const Piece piece = pieces[blockIdx.x];
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < piece.elements; i += block_threads)
    sum = fma(static_cast<double>(piece.g[i]), static_cast<double>(piece.g[i]), sum);
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(block_threads) root_of_sum(const double* sums, int count, const LossScale* loss_scale, float* norm) {
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += block_threads) sum += sums[i];
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) *norm = static_cast<float>(sqrt(sum) / (loss_scale == nullptr ? 1 : static_cast<double>(loss_scale->scale)));
}

class GradientNormKernel final : public Kernel {
 public:
  explicit GradientNormKernel(GradientNorm op) : Kernel("cuda"), op_(std::move(op)) {}
  std::string algorithm() const override { return "blocks of squares, then their sum"; }
  size_t workspace_bytes() const override { return static_cast<size_t>(piece_count()) * sizeof(double); }

  void bind(Buffers buffers, void* workspace) override {
    std::vector<Piece> pieces;
    for (size_t i = 0; i < op_.elements.size(); ++i)
      for (int64_t first = 0; first < op_.elements[i]; first += piece_elements)
        pieces.push_back({input(buffers, i) + first, static_cast<int>(std::min(piece_elements, op_.elements[i] - first))});
    pieces_ = table_of(pieces);
    sums_ = static_cast<double*>(workspace);
    norm_ = output(buffers, 0);
    loss_scale_ = op_.scaling == Scaling::dynamic ? input_of<LossScale>(buffers, op_.elements.size()) : nullptr;
  }

  void run(Stream& stream) override {
    const int count = piece_count();
    sum_of_squares<<<static_cast<unsigned>(count), block_threads, 0, handle_of(stream)>>>(static_cast<const Piece*>(pieces_->data()),
                                                                                          sums_);
    check_launch("sum_of_squares");
    root_of_sum<<<1, block_threads, 0, handle_of(stream)>>>(sums_, count, loss_scale_, norm_);
    check_launch("root_of_sum");
  }

 private:
  static constexpr int64_t piece_elements = 8 * chunk_elements;

  int piece_count() const {
    int64_t count = 0;
    for (const int64_t elements : op_.elements) count += (elements + piece_elements - 1) / piece_elements;
    return static_cast<int>(count);
  }

  GradientNorm op_;
  std::unique_ptr<DeviceTable> pieces_;
  double* sums_ = nullptr;
  float* norm_ = nullptr;
  const LossScale* loss_scale_ = nullptr;
};

}  // namespace

template <>
KernelPtr Kernels::make(const Update& op, const Limits&) {
  require_values(op);
  if (op.images > 0 && op.parameters.empty()) throw Error(ExitCode::internal, "an update without parameters cannot move the control on");
  return std::make_unique<UpdateKernel>(op);
}
template <>
KernelPtr Kernels::make(const GradientNorm& op, const Limits&) {
  require_values(op);
  return std::make_unique<GradientNormKernel>(op);
}

}  // namespace fovea::cuda
