#include "fovea/plan/scratch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "fovea/base/error.h"
#include "fovea/base/philox.h"
#include "fovea/tensor/convert.h"

namespace fovea::plan {
namespace {

using graph::Node;
using graph::Role;
using graph::Value;
using graph::ValueId;
using Bytes = std::vector<std::byte>;

constexpr size_t drawn_elements = size_t{1} << 18;  // longer values have them again and again
constexpr int64_t most_images = 4096;               // of a data set that are there
constexpr double seconds_of_value = 1e-3;           // enough beside a launch and a look at the clock
constexpr double runs_at_most = 256;
constexpr int rounds = 5, rounds_of_slow = 3;
constexpr double slow = 0.05;  // seconds

enum class Sign : uint8_t { any, positive };

Bytes drawn_floats(size_t elements, Sign sign) {
  std::vector<float> values(std::min(elements, drawn_elements));
  for (size_t i = 0; i < values.size(); ++i) {
    const float unit = to_unit(philox(1, Draw::test, static_cast<uint32_t>(i / 4), 2, 0).v[i % 4]);
    values[i] = sign == Sign::positive ? unit + 0.125f : 2 * unit - 1;
  }
  const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

Bytes drawn_pixels(size_t bytes) {
  Bytes values(std::min(bytes, drawn_elements));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<std::byte>(philox(1, Draw::test, static_cast<uint32_t>(i / 4), 3, 0).v[i % 4]);
  return values;
}

template <class T>
Bytes bytes_of_struct(const T& value) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(&value, 1));
  return {bytes.begin(), bytes.end()};
}

// A learning rate of 0, so that weights stay finite.
StepControl control_of(const graph::Graph& graph) {
  StepControl control;
  for (const Value& value : graph.values)
    if (value.role == Role::pixels) control.images = static_cast<uint64_t>(std::min(value.shape[0], most_images));
  return control;
}

// Variances and second moments are not negative.
Sign sign_of(const Value& value, const Node* writer, ValueId id) {
  if (value.role == Role::running || value.role == Role::state) return Sign::positive;
  const bool statistic = writer != nullptr && std::holds_alternative<BatchNormForward>(writer->op) && id != writer->out[0];
  return statistic ? Sign::positive : Sign::any;
}

int64_t runs_in(double seconds) { return std::llround(std::clamp(seconds_of_value / std::max(seconds, 1e-9), 1.0, runs_at_most)); }

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// One kernel under the clock.
class Timed {
 public:
  Timed(Kernel& kernel, Device& device, Stream& stream) : kernel_(kernel), device_(device), stream_(stream) {
    kernel.run(stream);  // what a first run loads is not timed
    estimate_ = device.seconds(stream, [&] { kernel.run(stream); });
    runs_ = runs_in(estimate_);
    recording_ = device.record(stream, [&] { run(); });
    if (recording_) recording_->replay(stream);
  }
  bool done() const { return std::ssize(seconds_) >= (estimate_ < slow ? rounds : rounds_of_slow); }
  void measure() {
    const double seconds = device_.seconds(stream_, [&] {
      if (recording_)
        recording_->replay(stream_);
      else
        run();
    });
    seconds_.push_back(seconds / static_cast<double>(runs_));
  }
  double seconds() const { return median(seconds_); }

 private:
  void run() {
    for (int64_t i = 0; i < runs_; ++i) kernel_.run(stream_);
  }

  Kernel& kernel_;
  Device& device_;
  Stream& stream_;
  double estimate_ = 0;
  int64_t runs_ = 1;
  std::unique_ptr<Recording> recording_;
  std::vector<double> seconds_;
};

}  // namespace

Scratch::Scratch(Backend& backend, const graph::Graph& graph, DependentLaunches launches)
    : backend_(backend), graph_(graph), device_(backend.device()), stream_(device_.make_stream()) {
  stream_->set(launches);
}

const Node* Scratch::writer_of(ValueId storage) const {
  for (const Node& node : graph_.nodes)
    if (std::find(node.out.begin(), node.out.end(), storage) != node.out.end()) return &node;
  return nullptr;
}

void Scratch::bind(Kernel& kernel, const std::vector<ValueId>& in, const std::vector<ValueId>& out) {
  Buffers buffers;
  for (size_t i = 0; i < in.size(); ++i) buffers.in.push_back(tensor(in[i], kernel.input_layout(i)));
  for (size_t i = 0; i < out.size(); ++i) buffers.out.push_back(tensor(out[i], kernel.output_layout(i)));
  memory_.push_back(device_.allocate(kernel.workspace_bytes()));
  kernel.bind(std::move(buffers), memory_.back()->data());
}

Tensor Scratch::tensor(ValueId id, const Layout& layout) {
  const ValueId storage = graph_.storage_of(id);
  const Value& value = graph_.value(storage);
  const int64_t elements = value.shape.elements();
  const bool of_data_set = value.role == Role::pixels || value.role == Role::labels;
  const int64_t there = of_data_set ? elements / value.shape[0] * std::min(value.shape[0], most_images) : elements;
  const size_t bytes = std::max(static_cast<size_t>(there) * bytes_of(value.dtype), layout.bytes);
  if (const auto found = memory_of_.find(storage); found == memory_of_.end() || found->second->bytes() < bytes) {
    if (const size_t free = device_.memory_status().free; bytes > free)
      throw Error(ErrorId::no_memory_for_plan,
                  fmt::format("timing steps on `{}` needs {} bytes of the device, but {} are free", value.name, bytes, free))
          .help("take a smaller batch, or autotune = \"off\"");
    memory_.push_back(device_.allocate(bytes));
    memory_of_[storage] = memory_.back().get();
    fill(storage, static_cast<std::byte*>(memory_.back()->data()), bytes);
  }
  return {memory_of_.at(storage)->data(), value.dtype, graph_.value(id).shape};
}

void Scratch::fill(ValueId storage, std::byte* to, size_t bytes) {
  const Value& value = graph_.value(storage);
  const Node* writer = writer_of(storage);
  Bytes values(1);  // zeros: labels, metrics
  if (is_floating(value.dtype)) {
    values = drawn_floats(bytes / bytes_of(value.dtype), sign_of(value, writer, storage));
    if (value.dtype != DType::f32) values = converted(values, DType::f32, value.dtype);
  } else if (value.role == Role::pixels) {
    values = drawn_pixels(bytes);
  } else if (value.role == Role::control) {
    values = bytes_of_struct(control_of(graph_));
  } else if (value.name == graph::loss_scale_name) {
    values = bytes_of_struct(LossScale());
  } else if (writer != nullptr &&
             std::holds_alternative<MaxPoolForward>(writer->op)) {  // with random places gradients would leave the image
    kernels_.push_back(make(backend_, writer->op, {}));
    bind(*kernels_.back(), writer->in, writer->out);
    return kernels_.back()->run(*stream_);
  }
  if (values.size() == 1) return device_.fill(to, values[0], bytes, *stream_);
  for (size_t done = 0; done < bytes; done += values.size())
    device_.upload(to + done, values.data(), std::min(values.size(), bytes - done), *stream_);
}

std::vector<double> Scratch::seconds(std::span<const KernelPtr> kernels) {
  std::vector<Timed> timed;
  for (const KernelPtr& kernel : kernels) timed.emplace_back(*kernel, device_, *stream_);
  const auto done = [](const Timed& one) { return one.done(); };
  while (!std::all_of(timed.begin(), timed.end(), done))
    for (Timed& one : timed)
      if (!one.done()) one.measure();
  std::vector<double> seconds;
  for (const Timed& one : timed) seconds.push_back(one.seconds());
  return seconds;
}

}  // namespace fovea::plan
