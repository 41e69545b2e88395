#include "fovea/study/self_test.h"

#include <algorithm>
#include <cmath>

#include "fovea/backend/registry.h"
#include "fovea/base/clock.h"
#include "fovea/base/philox.h"

namespace fovea::study {
namespace {

struct Answer {
  std::vector<float> y;
  SelfTest measured;
};

Answer convolve(Backend& backend, const Conv2dForward& op, const Limits& limits) {
  Device& device = backend.device();
  const std::unique_ptr<Stream> stream = device.make_stream();
  const KernelPtr kernel = backend.make(op, limits);
  std::vector<std::unique_ptr<Memory>> memory;
  const auto place = [&](const graph::Type& type) {
    memory.push_back(device.allocate(static_cast<size_t>(type.shape.elements()) * bytes_of(type.dtype)));
    return Tensor{memory.back()->data(), type.dtype, type.shape};
  };
  Buffers buffers;
  for (const graph::Type& type : graph::inputs_of(op)) {
    buffers.in.push_back(place(type));
    std::vector<float> values(static_cast<size_t>(type.shape.elements()));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = to_unit(philox(1, Draw::test, static_cast<uint32_t>(i), static_cast<uint32_t>(memory.size()), 0).v[0]) - 0.5f;
    device.upload(buffers.in.back().data, values.data(), buffers.in.back().bytes(), *stream);
  }
  const Tensor y = place(graph::outputs_of(op)[0]);
  buffers.out.push_back(y);
  const std::unique_ptr<Memory> workspace = device.allocate(kernel->workspace_bytes());
  kernel->bind(std::move(buffers), workspace->data());
  kernel->run(*stream);
  stream->synchronize();
  const Stopwatch watch;
  kernel->run(*stream);
  stream->synchronize();
  Answer answer{std::vector<float>(static_cast<size_t>(y.shape.elements())), {0, watch.seconds(), kernel->algorithm()}};
  device.download(answer.y.data(), y.data, y.bytes(), *stream);
  stream->synchronize();
  return answer;
}

}  // namespace

SelfTest small_convolution(Backend& backend, const Limits& limits) {
  Conv2dForward op;
  op.shape = {
      .n = 4, .h = 16, .w = 16, .c = 8, .k = 16, .window = {.r = 3, .s = 3, .pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1}};
  const Answer expected = convolve(*open_backend("reference"), op, limits);
  Answer answer = convolve(backend, op, limits);
  double largest = 0, error = 0;
  for (size_t i = 0; i < expected.y.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(expected.y[i])));
    error = std::max(error, std::abs(static_cast<double>(answer.y[i]) - expected.y[i]));
  }
  answer.measured.largest_error = error / largest;
  return answer.measured;
}

}  // namespace fovea::study
