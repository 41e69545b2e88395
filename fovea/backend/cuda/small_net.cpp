#include "fovea/backend/cuda/small_net.h"

#include <fmt/format.h>

#include <memory>

#include "fovea/backend/cuda/small_plan.h"

namespace fovea::cuda {
namespace {

// What the kernels are written for.
bool is_computable(const SmallConv& conv, size_t number) {
  const Conv2dShape& shape = conv.shape;
  const Window& window = shape.window;
  const auto pads_less_than_window = [](int64_t before, int64_t after, int64_t extent) { return before < extent && after < extent; };
  return shape.groups == 1 && window.stride_h == 1 && window.stride_w == 1 && window.dilation_h == 1 && window.dilation_w == 1 &&
         shape.k % 2 == 0 && shape.k <= 256 && shape.c <= 256 && (number > 0 || shape.c < 8 || shape.c % 8 == 0) &&
         pads_less_than_window(window.pad_top, window.pad_bottom, window.r) &&
         pads_less_than_window(window.pad_left, window.pad_right, window.s) && shape.h <= 256 && shape.w <= 256 &&
         (conv.pooling == Pooling::none || (shape.p() > 1 && shape.q() > 1));
}

bool is_computable(const SmallNet& net) {
  if (net.convs.empty() || net.convs.size() > most_stages || net.linears.size() > most_stages) return false;
  for (size_t i = 0; i < net.convs.size(); ++i)
    if (!is_computable(net.convs[i], i)) return false;
  return net.convs.front().shape.n < (1 << 20);
}

// Hands out a workspace; without one it only counts.
class Pieces {
 public:
  explicit Pieces(void* workspace) : workspace_(static_cast<std::byte*>(workspace)) {}
  template <class T = std::byte>
  T* take(int64_t count) {
    constexpr size_t alignment = 256;
    T* at = workspace_ == nullptr ? nullptr : reinterpret_cast<T*>(workspace_ + bytes_);
    bytes_ += (static_cast<size_t>(count) * sizeof(T) + alignment - 1) / alignment * alignment;
    return at;
  }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* workspace_;
  size_t bytes_ = 0;
};

constexpr int64_t value_bytes = 2;

class SmallForward final : public Kernel {
 public:
  SmallForward(const SmallNet& net, const SmallDevice& device, const ForwardJob& job)
      : Kernel("cuda"), launch_{nullptr, net.dtype, device}, job_(job) {
    place(nullptr);
  }
  std::string algorithm() const override { return fmt::format("one launch, {} at a time a block", job_.teams); }
  size_t workspace_bytes() const override { return bytes_; }
  void bind(Buffers buffers, void* workspace) override {
    place(workspace);
    job_.x = buffers.in[0].data;
    for (int i = 0; i < job_.stages; ++i) {
      const size_t first = static_cast<size_t>(1 + 2 * i);
      job_.stage[i].w = buffers.in[first].data;
      job_.stage[i].b = static_cast<const float*>(buffers.in[first + 1].data);
    }
    job_.stage[job_.stages - 1].y = buffers.out[0].data;
  }
  void run(Stream& stream) override {
    launch_.stream = &stream;
    run_small_forward(job_, launch_);
  }

 private:
  void place(void* workspace) {
    Pieces pieces(workspace);
    for (int i = 0; i + 1 < job_.stages; ++i)
      job_.stage[i].y = pieces.take(int64_t{job_.images} * job_.stage[i].stage.outputs() * value_bytes);
    bytes_ = pieces.bytes();
  }

  SmallLaunch launch_;
  ForwardJob job_;
  size_t bytes_ = 0;
};

struct Jobs {
  ForwardJob forward;
  HeadJob head;
  BackwardJob backward;
  FilterJob filters;
};

class SmallTraining final : public Kernel {
 public:
  SmallTraining(const SmallNet& net, const SmallDevice& device, const Jobs& jobs)
      : Kernel("cuda"), net_(net), launch_{nullptr, net.dtype, device}, jobs_(jobs) {
    if (const std::vector<float>& weights = net.loss.forward.class_weights; !weights.empty())
      class_weights_ = std::make_unique<DeviceTable>(std::as_bytes(std::span(weights)));
    place(nullptr);
  }
  std::string algorithm() const override {
    return fmt::format("{} launches, {} images at a time a block{}", jobs_.backward.stages > 1 ? 5 : 4, jobs_.forward.teams,
                       jobs_.forward.width == Width::narrow ? ", narrow" : "");
  }
  size_t workspace_bytes() const override { return bytes_; }

  void bind(Buffers buffers, void* workspace) override {
    place(workspace);
    read(buffers);
    connect();
    sums_ = SumJob{};
    sums_.images = jobs_.head.images;
    sums_.loss = jobs_.head.loss;
    sums_.correct = jobs_.head.correct;
    sums_.metrics = output_of<Metrics>(buffers, 0);
    for (size_t i = 0; i < net_.convs.size(); ++i) sum_filter(i, output(buffers, 1 + 2 * i), output(buffers, 2 + 2 * i));
    for (size_t i = 0; i < net_.linears.size(); ++i) {
      const size_t at = 1 + 2 * (net_.convs.size() + i);
      sum_matrix(i, output(buffers, at), output(buffers, at + 1));
    }
    ++sums_.blocks;  // the score
  }

  void run(Stream& stream) override {
    launch_.stream = &stream;
    run_small_forward(jobs_.forward, launch_);
    run_small_head(jobs_.head, launch_);
    if (jobs_.backward.stages > 1) run_small_backward(jobs_.backward, launch_);
    run_small_filters(jobs_.filters, launch_);
    run_small_sums(sums_, launch_);
  }

 private:
  void place(void* workspace) {
    Pieces pieces(workspace);
    const int64_t n = jobs_.head.images;
    for (int i = 0; i < jobs_.forward.stages; ++i) {
      const int64_t outputs = n * jobs_.forward.stage[i].stage.outputs();
      jobs_.forward.stage[i].y = pieces.take(outputs * value_bytes);
      jobs_.forward.stage[i].routes = pieces.take<uint8_t>(outputs);
      FilterStage& filter = jobs_.filters.stage[i];
      filter.dy = pieces.take(outputs * value_bytes);
      filter.parts = pieces.take<float>(int64_t{filter.chunks} * filter.stage.k * filter.stage.groups() * 8);
      filter.bias_parts = pieces.take<float>(int64_t{filter.chunks} * filter.stage.k);
    }
    for (int i = 0; i < jobs_.head.stages; ++i) {
      LinearStage& stage = jobs_.head.stage[i];
      if (i > 0) stage.x = pieces.take(n * stage.c * value_bytes);
      stage.dy = pieces.take(n * stage.k * value_bytes);
      jobs_.filters.matrix[i].parts = pieces.take<float>(int64_t{jobs_.filters.matrix_parts} * stage.k * stage.c);
      jobs_.filters.matrix[i].bias_parts = pieces.take<float>(int64_t{jobs_.filters.matrix_parts} * stage.k);
    }
    jobs_.head.loss = pieces.take<float>(n);
    jobs_.head.correct = pieces.take<int32_t>(n);
    bytes_ = pieces.bytes();
  }

  void read(const Buffers& buffers) {
    jobs_.forward.x = buffers.in[0].data;
    jobs_.head.t = input_of<int32_t>(buffers, 1);
    size_t at = 2;
    for (int i = 0; i < jobs_.forward.stages; ++i) {
      jobs_.forward.stage[i].w = buffers.in[at++].data;
      jobs_.forward.stage[i].b = input(buffers, at++);
    }
    for (int i = 0; i < jobs_.head.stages; ++i) {
      jobs_.head.stage[i].w = buffers.in[at++].data;
      jobs_.head.stage[i].b = input(buffers, at++);
    }
    jobs_.head.loss_scale = at < buffers.in.size() ? input_of<LossScale>(buffers, at) : nullptr;
    jobs_.head.class_weights = class_weights_ ? static_cast<const float*>(class_weights_->data()) : nullptr;
  }

  // What one launch leaves for the others.
  void connect() {
    const ForwardJob& forward = jobs_.forward;
    FilterJob& filters = jobs_.filters;
    for (int i = 0; i < forward.stages; ++i) {
      filters.stage[i].x = i == 0 ? forward.x : forward.stage[i - 1].y;
      filters.stage[i].routes = forward.stage[i].routes;
      if (i == 0) continue;
      BackwardStage& back = jobs_.backward.stage[i];
      back.w = forward.stage[i].w;
      back.routes = forward.stage[i].routes;
      back.dy = filters.stage[i].dy;
      back.dx = const_cast<void*>(filters.stage[i - 1].dy);
    }
    jobs_.head.stage[0].x = forward.stage[forward.stages - 1].y;
    jobs_.head.dx = const_cast<void*>(filters.stage[forward.stages - 1].dy);
    for (int i = 0; i < jobs_.head.stages; ++i) {
      filters.matrix[i].x = jobs_.head.stage[i].x;
      filters.matrix[i].dy = jobs_.head.stage[i].dy;
    }
  }

  void add_sum(SumStage sum, float* to, Into into) {
    constexpr int most_of_one_thread = 8;
    sum.to = to;
    sum.adds = into == Into::add;
    sum.ways = sum.count > most_of_one_thread ? 8 : 1;
    sum.first_block = sums_.blocks;
    sums_.stage[sums_.tensors++] = sum;
    const int elements = filter_threads / sum.ways;
    sums_.blocks += (sum.elements + elements - 1) / elements;
  }

  void sum_filter(size_t number, float* dw, float* db) {
    const FilterStage& filter = jobs_.filters.stage[number];
    const ConvStage& stage = filter.stage;
    const int row = stage.groups() * 8;
    SumStage sum = {
        .parts = filter.parts, .count = filter.chunks, .elements = stage.elements(), .step = stage.k * row, .row = row, .line = stage.line};
    sum.by_run = Divider(stage.raw ? stage.r * stage.s * stage.c : stage.c);
    sum.by_taps = Divider(stage.raw ? 1 : stage.r * stage.s);
    add_sum(sum, dw, net_.convs[number].into_w);
    add_sum({.parts = filter.bias_parts, .count = filter.chunks, .elements = stage.k, .step = stage.k, .row = 1}, db,
            net_.convs[number].into_b);
  }

  void sum_matrix(size_t number, float* dw, float* db) {
    MatrixStage& matrix = jobs_.filters.matrix[number];
    const SmallLinear& linear = net_.linears[number];
    const int count = jobs_.filters.matrix_parts, elements = matrix.k * matrix.c;
    const auto sum = [&](float*& parts, int size, float* to, Into into) {
      if (count == 1 && into == Into::overwrite)
        parts = to;  // the only part is the sum
      else
        add_sum({.parts = parts, .count = count, .elements = size, .step = size, .row = 1}, to, into);
    };
    sum(matrix.parts, elements, dw, linear.into_w);
    sum(matrix.bias_parts, matrix.k, db, linear.into_b);
  }

  SmallNet net_;
  SmallLaunch launch_;
  Jobs jobs_;
  SumJob sums_;
  std::unique_ptr<DeviceTable> class_weights_;
  size_t bytes_ = 0;
};

}  // namespace

KernelPtr small_net_forward(const SmallNet& net) {
  if (!is_computable(net)) return nullptr;
  const SmallDevice device = this_small_device();
  const std::optional<ForwardJob> job = plan_forward(net, device);
  return job ? std::make_unique<SmallForward>(net, device, *job) : nullptr;
}

KernelPtr small_net_training(const SmallNet& net) {
  if (!is_computable(net) || net.linears.empty()) return nullptr;
  const SmallDevice device = this_small_device();
  const std::optional<ForwardJob> forward = plan_forward(net, device);
  const std::optional<HeadJob> head = plan_head(net, device);
  const std::optional<BackwardJob> backward = plan_backward(net, device);
  const std::optional<FilterJob> filters = plan_filters(net, device);
  if (!forward || !head || !backward || !filters) return nullptr;
  return std::make_unique<SmallTraining>(net, device, Jobs{*forward, *head, *backward, *filters});
}

}  // namespace fovea::cuda
