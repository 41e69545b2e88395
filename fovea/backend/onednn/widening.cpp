#include "fovea/backend/onednn/widening.h"

#include <algorithm>

#include "fovea/backend/onednn/backend.h"
#include "fovea/backend/onednn/in_ranges.h"
#include "fovea/backend/onednn/values.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/graph/precision.h"

namespace fovea::onednn {
namespace {

constexpr int64_t block = 16384;  // elements that a task converts

bool is_float(const Op& op) { return graph::types_of(op).x != DType::bf16 && graph::types_of(op).y != DType::bf16; }

struct Conversion {
  Tensor small;
  float* wide;
};

class BetweenConversions final : public Kernel {
 public:
  BetweenConversions(KernelPtr kernel, Sides sides, Into into, const Limits& limits)
      : Kernel("onednn"), kernel_(std::move(kernel)), sides_(std::move(sides)), into_(into), threads_(std::max(kernel_->threads(), 1)) {
    int64_t elements = 0;
    for (const std::vector<graph::Type>* side : {&sides_.in, &sides_.out})
      for (const graph::Type& type : *side)
        if (type.dtype == DType::bf16) elements += type.shape.elements();
    threads_ = std::max(threads_, openmp::threads_for(limits, elements));
  }

  std::string algorithm() const override { return kernel_->algorithm() + " between conversions"; }
  int threads() const override { return threads_; }
  size_t workspace_bytes() const override {
    size_t bytes = kernel_->workspace_bytes();
    for (const std::vector<graph::Type>* side : {&sides_.in, &sides_.out})
      for (const graph::Type& type : *side) bytes = aligned(bytes) + wide_bytes(type);
    return bytes;
  }

  void bind(Buffers buffers, void* workspace) override {
    size_t at = aligned(kernel_->workspace_bytes());
    const auto widened = [&](std::vector<Tensor>& tensors, std::vector<Conversion>& conversions) {
      for (Tensor& tensor : tensors) {
        if (tensor.dtype != DType::bf16) continue;
        float* wide = reinterpret_cast<float*>(static_cast<std::byte*>(workspace) + at);
        at += aligned(wide_bytes({tensor.dtype, tensor.shape}));
        conversions.push_back({tensor, wide});
        tensor = {wide, DType::f32, tensor.shape};
      }
    };
    before_.clear();
    after_.clear();
    widened(buffers.in, before_);
    widened(buffers.out, after_);
    if (into_ == Into::add) before_.insert(before_.end(), after_.begin(), after_.end());
    kernel_->bind(std::move(buffers), workspace);
  }

  void run(Stream& stream) override {
    for (const Conversion& each : before_) convert(each, [](int64_t count, uint16_t* small, float* wide) { widen(count, small, wide); });
    kernel_->run(stream);
    for (const Conversion& each : after_) convert(each, [](int64_t count, uint16_t* small, float* wide) { narrow(count, wide, small); });
  }

 private:
  static size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }
  static size_t wide_bytes(const graph::Type& type) {
    return type.dtype == DType::bf16 ? static_cast<size_t>(type.shape.elements()) * sizeof(float) : 0;
  }

  template <class Function>
  void convert(const Conversion& of, const Function& function) const {
    openmp::parallel_ranges(threads_, of.small.shape.elements(), block, [&](int64_t begin, int64_t end) {
      function(end - begin, static_cast<uint16_t*>(of.small.data) + begin, of.wide + begin);
    });
  }

  KernelPtr kernel_;
  Sides sides_;
  Into into_;
  int threads_;
  std::vector<Conversion> before_, after_;
};

template <class One>
Into into_of(const One& op) {
  if constexpr (requires { op.into; }) return op.into;
  return Into::overwrite;
}

openmp::OpenmpBackend& in_float() {
  static openmp::OpenmpBackend backend;
  return backend;
}

void convert(const Convert& op, const openmp::Run& run) {
  openmp::parallel_ranges(run.threads, op.elements, block, [&](int64_t begin, int64_t end) {
    const Tensor &from = run.buffers.in[0], &to = run.buffers.out[0];
    if (to.dtype == DType::bf16)
      narrow(end - begin, static_cast<const float*>(from.data) + begin, static_cast<uint16_t*>(to.data) + begin);
    else
      widen(end - begin, static_cast<const uint16_t*>(from.data) + begin, static_cast<float*>(to.data) + begin);
  });
}

}  // namespace

KernelPtr make_widened(const Op& op, const Limits& limits) {
  if (is_float(op)) return fovea::make(in_float(), op, limits);
  if (KernelPtr ranges = in_ranges(op, limits)) return ranges;
  const Into into = std::visit([](const auto& of) { return into_of(of); }, op);
  KernelPtr kernel = fovea::make(in_float(), graph::in_precision(op, graph::fp32), limits);
  return between_conversions(std::move(kernel), {graph::inputs_of(op), graph::outputs_of(op)}, into, limits);
}

KernelPtr between_conversions(KernelPtr in_float, Sides sides, Into into, const Limits& limits) {
  return std::make_unique<BetweenConversions>(std::move(in_float), std::move(sides), into, limits);
}

std::optional<Claim> claim_between_conversions(const Neighbours& around, const Limits& limits) {
  graph::Graph wide = around.graph;
  for (graph::Node& node : wide.nodes) node.op = graph::in_precision(node.op, graph::fp32);
  const size_t first = static_cast<size_t>(around.nodes.data() - around.graph.nodes.data());
  const Neighbours in_wide = {wide, std::span(wide.nodes).subspan(first, around.nodes.size()), around.uses};
  if (std::optional<openmp::NormMatch> norm = openmp::match_batch_norm(in_wide)) {
    norm->claim.kernel = norm_in_ranges(*norm, limits);
    return std::move(norm->claim);
  }
  std::optional<Claim> claim = in_float().claim(in_wide, limits);
  if (!claim) return claim;
  const auto types = [&](const std::vector<graph::ValueId>& ids) {
    std::vector<graph::Type> types;
    for (const graph::ValueId id : ids) types.push_back({around.graph.value(id).dtype, around.graph.value(id).shape});
    return types;
  };
  Into into = Into::overwrite;
  for (const graph::Node& node : around.nodes.first(claim->nodes))
    if (std::visit([](const auto& op) { return into_of(op); }, node.op) == Into::add) into = Into::add;
  claim->kernel = between_conversions(std::move(claim->kernel), {types(claim->in), types(claim->out)}, into, limits);
  return claim;
}

#define FOVEA_WIDENED(One) \
  KernelPtr OnednnBackend::make(const One& op, const Limits& limits) { return make_widened(op, limits); }
FOVEA_WIDENED(Augment)
FOVEA_WIDENED(Reorder)
FOVEA_WIDENED(BiasForward)
FOVEA_WIDENED(BiasBackward)
FOVEA_WIDENED(MaxPoolForward)
FOVEA_WIDENED(MaxPoolBackward)
FOVEA_WIDENED(AvgPoolForward)
FOVEA_WIDENED(AvgPoolBackward)
FOVEA_WIDENED(BatchNormForward)
FOVEA_WIDENED(BatchNormInference)
FOVEA_WIDENED(BatchNormBackward)
FOVEA_WIDENED(ActivationForward)
FOVEA_WIDENED(ActivationBackward)
FOVEA_WIDENED(Add)
FOVEA_WIDENED(ConcatForward)
FOVEA_WIDENED(ConcatBackward)
FOVEA_WIDENED(ShortcutForward)
FOVEA_WIDENED(ShortcutBackward)
FOVEA_WIDENED(DropoutForward)
FOVEA_WIDENED(DropoutBackward)
FOVEA_WIDENED(SoftmaxCrossEntropyForward)
FOVEA_WIDENED(SoftmaxCrossEntropyBackward)
FOVEA_WIDENED(BinaryCrossEntropyForward)
FOVEA_WIDENED(BinaryCrossEntropyBackward)
FOVEA_WIDENED(Score)
FOVEA_WIDENED(GradientNorm)
#undef FOVEA_WIDENED

KernelPtr OnednnBackend::make(const Convert& op, const Limits& limits) {
  if (is_float(op)) return OpenmpBackend::make(op, limits);
  return openmp::kernel("loops", op, convert, openmp::threads_for(limits, op.elements));
}

}  // namespace fovea::onednn
