// The optimisers: all parameters in one launch, or nothing while a loss is not finite.
#include <span>

#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {
namespace {

constexpr int chunk_elements = 4 * block_threads;

// A piece of one parameter and of its state; a block takes it.
struct Chunk {
  const float* dw;
  float* w;
  float* m;
  float* v;
  int elements;
  float decay, rate_scale;
};

struct SgdRule {
  float momentum;
  float direct, through;  // change = direct g + through m: (0, 1) without Nesterov, (1, momentum) with it

  explicit SgdRule(const Sgd& sgd)
      : momentum(sgd.momentum),
        direct(sgd.nesterov == Sgd::Nesterov::yes ? 1.0f : 0.0f),
        through(sgd.nesterov == Sgd::Nesterov::yes ? sgd.momentum : 1.0f) {}

  struct Step {
    float rate;
  };
  __device__ Step step(const StepControl& control, float rate_scale) const { return {control.learning_rate * rate_scale}; }
  __device__ void apply(const Step& step, const Chunk& chunk, int i) const {
    const float w = chunk.w[i], g = fmaf(chunk.decay, w, chunk.dw[i]);
    float change = g;
    if (chunk.m != nullptr) {
      const float m = fmaf(momentum, chunk.m[i], g);
      chunk.m[i] = m;
      change = fmaf(direct, g, through * m);
    }
    chunk.w[i] = fmaf(-step.rate, change, w);
  }
};

struct AdamRule {
  float beta1, beta2, rest1, rest2, epsilon;  // rest = 1 - beta

  explicit AdamRule(const Adam& adam)
      : beta1(adam.beta1),
        beta2(adam.beta2),
        rest1(static_cast<float>(1 - static_cast<double>(adam.beta1))),
        rest2(static_cast<float>(1 - static_cast<double>(adam.beta2))),
        epsilon(adam.epsilon) {}

  struct Step {
    float rate, correction2;  // the rate with the correction of the first moment
  };
  __device__ Step step(const StepControl& control, float rate_scale) const {
    const double t = static_cast<double>(control.step) + 1;
    const double rate = static_cast<double>(control.learning_rate) * static_cast<double>(rate_scale);
    return {static_cast<float>(rate / (1 - pow(static_cast<double>(beta1), t))),
            static_cast<float>(1 / (1 - pow(static_cast<double>(beta2), t)))};
  }
  __device__ void apply(const Step& step, const Chunk& chunk, int i) const {
    const float w = chunk.w[i], g = fmaf(chunk.decay, w, chunk.dw[i]);
    const float m = fmaf(beta1, chunk.m[i], rest1 * g);
    const float v = fmaf(beta2, chunk.v[i], rest2 * g * g);
    chunk.m[i] = m;
    chunk.v[i] = v;
    chunk.w[i] = w - step.rate * m / (sqrtf(v * step.correction2) + epsilon);
  }
};

template <class Rule>
__global__ void __launch_bounds__(block_threads)
    update(Rule rule, const Chunk* chunks, const StepControl* control, const Metrics* metrics) {
  if (metrics->non_finite > 0) return;
  __shared__ typename Rule::Step step;  // the powers of a step are the same for all: one thread takes them
  const Chunk chunk = chunks[blockIdx.x];
  if (threadIdx.x == 0) step = rule.step(*control, chunk.rate_scale);
  __syncthreads();
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < chunk_elements; i += block_threads)
    if (i < chunk.elements) rule.apply(step, chunk, i);
}

class UpdateKernel final : public Kernel {
 public:
  explicit UpdateKernel(Update op) : Kernel("cuda"), op_(std::move(op)) {}
  std::string algorithm() const override { return "all parameters in one launch"; }

  void bind(Buffers buffers, void*) override {
    const std::vector<Chunk> chunks = chunks_of(buffers);
    count_ = static_cast<unsigned>(chunks.size());
    table_ = std::make_unique<DeviceTable>(std::as_bytes(std::span(chunks)));
    control_ = input_of<StepControl>(buffers, 0);
    metrics_ = input_of<Metrics>(buffers, 1);
  }

  void run(Stream& stream) override {
    if (count_ == 0) return;
    const Chunk* chunks = static_cast<const Chunk*>(table_->data());
    if (const Sgd* sgd = std::get_if<Sgd>(&op_.rule))
      update<<<count_, block_threads, 0, handle_of(stream)>>>(SgdRule(*sgd), chunks, control_, metrics_);
    else
      update<<<count_, block_threads, 0, handle_of(stream)>>>(AdamRule(std::get<Adam>(op_.rule)), chunks, control_, metrics_);
    check_launch("update");
  }

 private:
  std::vector<Chunk> chunks_of(const Buffers& buffers) const {
    std::vector<Chunk> chunks;
    const size_t count = op_.parameters.size(), moments = static_cast<size_t>(moments_of(op_.rule));
    for (size_t i = 0; i < count; ++i) {
      const Update::Parameter& parameter = op_.parameters[i];
      for (int64_t first = 0; first < parameter.elements; first += chunk_elements)
        chunks.push_back({.dw = input(buffers, 2 + i) + first,
                          .w = output(buffers, i) + first,
                          .m = moments > 0 ? output(buffers, count + i) + first : nullptr,
                          .v = moments > 1 ? output(buffers, 2 * count + i) + first : nullptr,
                          .elements = static_cast<int>(std::min<int64_t>(chunk_elements, parameter.elements - first)),
                          .decay = parameter.decay,
                          .rate_scale = parameter.rate_scale});
    }
    return chunks;
  }

  Update op_;
  std::unique_ptr<DeviceTable> table_;
  unsigned count_ = 0;
  const StepControl* control_ = nullptr;
  const Metrics* metrics_ = nullptr;
};

}  // namespace

template <>
KernelPtr Kernels::make(const Update& op, const Limits&) {
  require_float(op, op.types);
  return std::make_unique<UpdateKernel>(op);
}

}  // namespace fovea::cuda
