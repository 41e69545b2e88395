// Buffers with guard bands on any device, and one operator run between them.
#include "tests/backend/case_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/tensor/convert.h"

namespace fovea::test {
namespace {

constexpr size_t guard_bytes = 256;
constexpr std::byte guard{0xA5}, poison{0xFF};  // 0xFF...FF is NaN in every floating-point type

// Device memory with a guard band on either side.
class Guarded {
 public:
  Guarded(Device& device, Stream& stream, size_t bytes)
      : device_(device), stream_(stream), bytes_(bytes), memory_(device.allocate(bytes + 2 * guard_bytes)) {
    device_.fill(memory_->data(), guard, bytes_ + 2 * guard_bytes, stream_);
  }
  void* data() const { return static_cast<std::byte*>(memory_->data()) + guard_bytes; }
  void write(const std::vector<std::byte>& content) { device_.upload(data(), content.data(), bytes_, stream_); }
  void fill(std::byte value) { device_.fill(data(), value, bytes_, stream_); }
  std::vector<std::byte> read(const std::string& what) const {
    std::vector<std::byte> all(bytes_ + 2 * guard_bytes);
    device_.download(all.data(), memory_->data(), all.size(), stream_);
    stream_.synchronize();
    for (size_t i = 0; i < all.size(); ++i) {
      if (i == guard_bytes) i += bytes_;
      if (i < all.size() && all[i] != guard)
        throw Error(ExitCode::internal, fmt::format("byte {} of {} was written, which has {} bytes",
                                                    static_cast<int64_t>(i) - static_cast<int64_t>(guard_bytes), what, bytes_));
    }
    return {all.begin() + guard_bytes, all.end() - guard_bytes};
  }

 private:
  Device& device_;
  Stream& stream_;
  size_t bytes_;
  std::unique_ptr<Memory> memory_;
};

class CaseRun {
 public:
  CaseRun(Backend& backend, const Op& op, const CaseData& data, const Limits& limits)
      : op_(op), data_(data), stream_(backend.device().make_stream()), kernel_(make(backend, op, limits)) {
    Buffers buffers;
    const auto place = [&](const std::vector<Operand>& operands, std::vector<Guarded>& memory, std::vector<Tensor>& tensors) {
      for (const Operand& operand : operands) {
        memory.emplace_back(backend.device(), *stream_, operand.bytes.size()).write(operand.bytes);
        tensors.push_back({memory.back().data(), operand.type.dtype, operand.type.shape});
      }
    };
    for (size_t i = 0; i < data.in.size(); ++i) refuse_wish(kernel_->input_layout(i));
    for (size_t i = 0; i < data.out.size(); ++i) refuse_wish(kernel_->output_layout(i));
    place(data.in, in_, buffers.in);
    place(data.out, out_, buffers.out);
    workspace_.emplace_back(backend.device(), *stream_, kernel_->workspace_bytes());
    kernel_->bind(std::move(buffers), workspace_[0].data());
  }

  std::vector<Operand> operator()() {
    workspace_[0].fill(poison);
    for (size_t i = 0; i < out_.size(); ++i) out_[i].write(data_.out[i].bytes);
    if (moves_control_on()) in_[0].write(data_.in[0].bytes);
    kernel_->run(*stream_);
    stream_->synchronize();
    for (size_t i = 0; i < in_.size(); ++i)
      if (in_[i].read(fmt::format("input {}", i)) != expected_input(i) && !is_metrics(data_.in[i]))
        throw Error(ExitCode::internal, fmt::format("input {} was changed", i));
    workspace_[0].read("the workspace");
    std::vector<Operand> result = data_.out;
    for (size_t i = 0; i < out_.size(); ++i) result[i].bytes = out_[i].read(fmt::format("output {}", i));
    return result;
  }

 private:
  // Update moves the control on, where it is one of a training step.
  bool moves_control_on() const {
    const Update* update = std::get_if<Update>(&op_);
    return update != nullptr && update->images > 0;
  }
  std::vector<std::byte> expected_input(size_t i) const {
    std::vector<std::byte> bytes = data_.in[i].bytes;
    if (i > 0 || !moves_control_on()) return bytes;
    StepControl control;
    std::memcpy(&control, bytes.data(), sizeof control);
    control = control.after(1, std::get<Update>(op_).images);
    std::memcpy(bytes.data(), &control, sizeof control);
    return bytes;
  }

  // It also raises the flag.
  static bool is_metrics(const Operand& operand) { return operand.type.dtype == DType::byte && operand.bytes.size() == sizeof(Metrics); }

  static void refuse_wish(const Layout& layout) {
    if (layout != Layout{})
      throw Error(ExitCode::internal, fmt::format("the runner gives dense nhwc, but the kernel wishes `{}`", layout.tag));
  }

  const Op& op_;
  const CaseData& data_;
  std::unique_ptr<Stream> stream_;
  KernelPtr kernel_;
  std::vector<Guarded> in_, out_, workspace_;
};

template <class T>
std::vector<T> copy_of(const Operand& operand) {
  std::vector<T> values(operand.bytes.size() / sizeof(T));
  std::memcpy(values.data(), operand.bytes.data(), operand.bytes.size());
  return values;
}

template <class T>
std::vector<double> widened(const Operand& operand) {
  const std::vector<T> values = copy_of<T>(operand);
  return {values.begin(), values.end()};
}

}  // namespace

Operand make_operand(const graph::Type& type) {
  return {type, std::vector<std::byte>(static_cast<size_t>(type.shape.elements()) * bytes_of(type.dtype))};
}

std::vector<double> values_of(const Operand& operand) {
  switch (operand.type.dtype) {
    case DType::f32:
    case DType::f64:
    case DType::bf16:
    case DType::fp16: {
      std::vector<std::byte> bytes = operand.bytes;
      std::vector<double> values(static_cast<size_t>(operand.type.shape.elements()));
      widen({bytes.data(), operand.type.dtype, operand.type.shape}, values);
      return values;
    }
    case DType::u8:
      return widened<uint8_t>(operand);
    case DType::u16:
      return widened<uint16_t>(operand);
    case DType::i32:
      return widened<int32_t>(operand);
    case DType::byte:
      break;
  }
  if (operand.bytes.size() == sizeof(LossScale)) {
    const LossScale scale = copy_of<LossScale>(operand)[0];
    return {static_cast<double>(scale.scale), static_cast<double>(scale.good_steps), static_cast<double>(scale.left_out),
            static_cast<double>(scale.overflow)};
  }
  if (operand.bytes.size() != sizeof(Metrics)) throw Error(ExitCode::internal, "a struct other than Metrics has no values");
  const Metrics metrics = copy_of<Metrics>(operand)[0];
  return {metrics.loss_sum, static_cast<double>(metrics.counted), static_cast<double>(metrics.correct),
          static_cast<double>(metrics.non_finite)};
}

void set_values(Operand& operand, const std::vector<double>& values) {
  narrow(values, {operand.bytes.data(), operand.type.dtype, operand.type.shape});
}

std::vector<double> rounded_to(DType dtype, std::vector<double> values) {
  if (!is_floating(dtype)) return values;
  Operand operand = make_operand({dtype, {static_cast<int64_t>(values.size())}});
  set_values(operand, values);
  return values_of(operand);
}

CaseData in_double(CaseData data) {
  for (std::vector<Operand>* side : {&data.in, &data.out})
    for (Operand& operand : *side)
      if (is_floating(operand.type.dtype)) operand = operand_of(operand.type.shape, values_of(operand));
  return data;
}

CaseData without_signs(CaseData data) {
  for (std::vector<Operand>* side : {&data.in, &data.out})
    for (Operand& operand : *side) {
      if (!is_floating(operand.type.dtype)) continue;
      std::vector<double> values = values_of(operand);
      for (double& value : values) value = std::abs(value);
      set_values(operand, values);
    }
  return data;
}

std::vector<Operand> run_case(Backend& backend, const Op& op, const CaseData& data, const Limits& limits) {
  CaseRun run(backend, op, data, limits);
  std::vector<Operand> first = run();
  const std::vector<Operand> second = run();
  for (size_t i = 0; i < first.size(); ++i)
    if (first[i].bytes != second[i].bytes) throw Error(ExitCode::internal, fmt::format("output {} has other bits the second time", i));
  return first;
}

std::vector<Operand> exact_result(const Op& op, const CaseData& data) {
  const std::unique_ptr<Backend> reference = open_backend("reference");
  return run_case(*reference, study::with_types(op, all_double), in_double(data));
}

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const BackendEntry& entry : list_backends()) names.push_back(entry.name);
  return names;
}

std::vector<Computes> all_computes() {
  std::vector<Computes> all;
  for (const BackendEntry& entry : list_backends()) {
    for (const graph::Precision& precision : {graph::fp32, graph::tf32, graph::bf16, graph::fp16})
      if (computes_in(entry, precision)) all.push_back({entry.name, precision});
  }
  return all;
}

std::string name_of(const Computes& computes) {
  return computes.precision == graph::fp32 ? computes.backend : fmt::format("{}_{}", computes.backend, graph::name_of(computes.precision));
}

bool is_on_gpu(std::string_view backend) { return backend == "cuda" || backend == "cudnn"; }

bool gpu_is_required() {
  const char* required = std::getenv("FOVEA_REQUIRE_GPU");
  return required != nullptr && std::string_view(required) == "1";
}

std::unique_ptr<Backend> open_or_say_why_not(const std::string& name, std::string& absent_because) {
  for (const BackendEntry& entry : list_backends())
    if (entry.name == name) absent_because = entry.absent_because;
  return absent_because.empty() || (name == "cuda" && gpu_is_required()) ? open_backend(name) : nullptr;
}

std::vector<std::string> operator_names(const std::vector<study::OpCase>& cases) {
  std::vector<std::string> names;
  for (const study::OpCase& op_case : cases)
    if (std::find(names.begin(), names.end(), name_of(op_case.op)) == names.end()) names.emplace_back(name_of(op_case.op));
  return names;
}

std::string test_name(std::string text) {
  for (char& letter : text)
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
  return text;
}

}  // namespace fovea::test
