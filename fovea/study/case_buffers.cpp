#include "fovea/study/case_buffers.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "fovea/base/philox.h"
#include "fovea/tensor/convert.h"

namespace fovea::study {
namespace {

constexpr size_t chunk = size_t{1} << 20;  // elements that are drawn; larger tensors have them again and again

uint32_t random_bits(size_t i) { return philox(1, Draw::test, static_cast<uint32_t>(i / 4), 0, 0).v[i % 4]; }

template <class T, class Draw>
std::vector<std::byte> drawn(size_t bytes, Draw draw) {
  std::vector<T> values(std::min(bytes / sizeof(T), chunk));
  for (size_t i = 0; i < values.size(); ++i) values[i] = draw(random_bits(i));
  const std::span<const std::byte> all = std::as_bytes(std::span(values));
  return {all.begin(), all.end()};
}

template <class T>
std::vector<std::byte> bytes_of_struct(const T& value) {
  std::vector<std::byte> bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

bool reads_squares(const Op& op) {  // moments or variances, which are not negative
  return std::holds_alternative<Update>(op) || std::holds_alternative<BatchNormInference>(op) ||
         std::holds_alternative<BatchNormBackward>(op);
}

uint32_t classes_of(const Op& op) {
  return std::visit(
      [](const auto& o) -> uint32_t {
        if constexpr (requires { o.k; }) return static_cast<uint32_t>(std::max<int64_t>(o.k, 2));
        if constexpr (requires { o.forward.k; }) return static_cast<uint32_t>(o.forward.k);
        return 2;
      },
      op);
}

std::vector<std::byte> values_of(const OpCase& op_case, DType dtype, size_t bytes) {
  switch (dtype) {
    case DType::byte:
      if (bytes == sizeof(StepControl)) return bytes_of_struct(op_case.control);
      if (bytes == sizeof(LossScale)) return bytes_of_struct(op_case.loss_scale);
      return bytes_of_struct(op_case.metrics);
    case DType::i32:
      return drawn<int32_t>(bytes, [classes = classes_of(op_case.op)](uint32_t bits) { return to_below(bits, classes); });
    case DType::u8:
      return drawn<uint8_t>(bytes, [](uint32_t bits) { return bits; });
    case DType::u16:
      return drawn<uint16_t>(bytes, [](uint32_t) { return 0; });
    case DType::f64:
      return drawn<double>(bytes, [](uint32_t bits) { return to_unit(bits) + 0.125; });
    case DType::f32:
    case DType::bf16:
    case DType::fp16:
      break;
  }
  const size_t elements = bytes / bytes_of(dtype);
  const std::vector<std::byte> values = reads_squares(op_case.op)
                                            ? drawn<float>(elements * sizeof(float), [](uint32_t bits) { return to_unit(bits) + 0.125f; })
                                            : drawn<float>(elements * sizeof(float), [](uint32_t bits) { return 2 * to_unit(bits) - 1; });
  return dtype == DType::f32 ? values : converted(values, DType::f32, dtype);
}

// Places of maxima that a forward run gives: with random ones a gradient would be written outside of the image.
void put_places(Backend& backend, const MaxPoolBackward& op, const Tensor& places, Stream& stream) {
  OpCase forward;
  forward.op = MaxPoolForward{op.shape, op.types};
  const KernelPtr kernel = make(backend, forward.op, {});
  const CaseBuffers images(backend, forward, *kernel, stream);
  Buffers buffers = images.buffers();
  buffers.out[1] = places;
  const std::unique_ptr<Memory> workspace = backend.device().allocate(kernel->workspace_bytes());
  kernel->bind(std::move(buffers), workspace->data());
  kernel->run(stream);
  stream.synchronize();
}

}  // namespace

CaseBuffers::CaseBuffers(Backend& backend, const OpCase& op_case, const Kernel& kernel, Stream& stream) {
  const auto place = [&](const graph::Type& type, const Layout& layout) {
    const size_t bytes = std::max(static_cast<size_t>(type.shape.elements()) * bytes_of(type.dtype), layout.bytes);
    memory_.push_back(backend.device().allocate(bytes));
    std::byte* to = static_cast<std::byte*>(memory_.back()->data());
    const std::vector<std::byte> values = values_of(op_case, type.dtype, bytes);
    for (size_t done = 0; done < bytes; done += values.size())
      backend.device().upload(to + done, values.data(), std::min(values.size(), bytes - done), stream);
    return Tensor{to, type.dtype, type.shape};
  };
  for (const graph::Type& type : graph::inputs_of(op_case.op)) buffers_.in.push_back(place(type, kernel.input_layout(buffers_.in.size())));
  for (const graph::Type& type : graph::outputs_of(op_case.op))
    buffers_.out.push_back(place(type, kernel.output_layout(buffers_.out.size())));
  if (const MaxPoolBackward* op = std::get_if<MaxPoolBackward>(&op_case.op)) put_places(backend, *op, buffers_.in[1], stream);
}

int64_t CaseBuffers::bytes() const {
  return std::accumulate(memory_.begin(), memory_.end(), int64_t{0},
                         [](int64_t sum, const auto& memory) { return sum + static_cast<int64_t>(memory->bytes()); });
}

}  // namespace fovea::study
