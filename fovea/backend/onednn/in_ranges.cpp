#include "fovea/backend/onednn/in_ranges.h"

#include <algorithm>

#include "fovea/backend/onednn/values.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/parts.h"
#include "fovea/graph/precision.h"

namespace fovea::onednn {
namespace {

using eigen::Range;
using openmp::aligned;

constexpr int64_t elements_of_a_range = 16384;  // of all tensors: with their doubles in float they fit the second cache

template <class... Every>
struct Among {
  template <class One>
  static constexpr bool has = (std::is_same_v<One, Every> || ...);
};
using WithLoops =
    Among<BiasForward, MaxPoolForward, MaxPoolBackward, AvgPoolForward, AvgPoolBackward, ActivationForward, ActivationBackward, Add,
          ConcatForward, ConcatBackward, ShortcutForward, ShortcutBackward, DropoutForward, DropoutBackward>;

template <class One>
Into into_of(const One& op) {
  if constexpr (requires { op.into; }) return op.into;
  return Into::overwrite;
}

// One operator on ranges of its units; `wide` is the same in float.
template <class One>
class InRanges final : public Kernel {
 public:
  InRanges(const One& op, const One& wide, const Limits& limits)
      : Kernel("onednn"), wide_(wide), units_(eigen::units_of(wide)), in_(graph::inputs_of(op)), out_(graph::outputs_of(op)) {
    const int64_t least = std::max<int64_t>(1, elements_of_a_range / std::max<int64_t>(units_.floats, 1));
    split_ = {units_.count, least};
    threads_ = static_cast<int>(std::min<int64_t>(openmp::threads_for(limits, units_.count * units_.floats), split_.ranges()));
    own_floats_ = aligned(units_.workspace_floats);
    for (const std::vector<graph::Type>* side : {&in_, &out_})
      for (const graph::Type& type : *side) own_floats_ += floats_of(type);
  }

  // Whether every tensor of bf16 has as many elements for each unit.
  static bool suits(const One& op, const One& wide) {
    const int64_t count = eigen::units_of(wide).count;
    for (const std::vector<graph::Type>& side : {graph::inputs_of(op), graph::outputs_of(op)})
      for (const graph::Type& type : side)
        if (type.dtype == DType::bf16 && type.shape.elements() % count != 0) return false;
    return true;
  }

  std::string algorithm() const override { return "loops on ranges in float"; }
  int threads() const override { return threads_; }
  size_t workspace_bytes() const override { return static_cast<size_t>(threads_ * own_floats_) * sizeof(float); }

  void bind(Buffers buffers, void* workspace) override {
    const Buffers outside = std::move(buffers);
    own_.clear();
    for (int worker = 0; worker < threads_; ++worker) {
      Own own{static_cast<float*>(workspace) + worker * own_floats_, {}, {}, outside};
      float* next = own.workspace + aligned(units_.workspace_floats);
      const auto place = [&](std::vector<Tensor>& tensors, std::vector<Widened>& list) {
        for (size_t i = 0; i < tensors.size(); ++i) {
          if (tensors[i].dtype != DType::bf16) continue;
          list.push_back({i, static_cast<uint16_t*>(tensors[i].data), next, tensors[i].shape.elements() / units_.count});
          next += floats_of({tensors[i].dtype, tensors[i].shape});
          tensors[i].dtype = DType::f32;
        }
      };
      place(own.buffers.in, own.in);
      place(own.buffers.out, own.out);
      own_.push_back(std::move(own));
    }
  }

  void run(Stream&) override {
    openmp::parallel_for(threads_, split_.ranges(), [&](int64_t task, int worker) {
      Own& own = own_[static_cast<size_t>(worker)];
      const Range range = split_.range(task);
      for (const Widened& each : own.in) enter(each, range, own.buffers.in[each.position], Into::add);
      for (const Widened& each : own.out) enter(each, range, own.buffers.out[each.position], into_of(wide_));
      eigen::run_part(wide_, range, own.buffers, own.workspace);
      for (const Widened& each : own.out) narrow(range.count * each.per_unit, each.wide, each.small + range.first * each.per_unit);
    });
  }

 private:
  struct Widened {
    size_t position;
    uint16_t* small;
    float* wide;
    int64_t per_unit;
  };
  struct Own {  // of a thread
    float* workspace;
    std::vector<Widened> in, out;
    Buffers buffers;
  };

  int64_t floats_of(const graph::Type& type) const {
    return type.dtype == DType::bf16 ? aligned(split_.block * (type.shape.elements() / units_.count)) : 0;
  }

  // The loops find the range where it would lie in the whole tensor.
  static void enter(const Widened& each, const Range& range, Tensor& tensor, Into reads) {
    if (reads == Into::add) widen(range.count * each.per_unit, each.small + range.first * each.per_unit, each.wide);
    tensor.data = each.wide - range.first * each.per_unit;
  }

  const One wide_;
  const eigen::Units units_;
  const std::vector<graph::Type> in_, out_;
  openmp::Split split_;
  int threads_ = 1;
  int64_t own_floats_ = 0;
  std::vector<Own> own_;
};

}  // namespace

KernelPtr in_ranges(const Op& op, const Limits& limits) {
  const Op wide = graph::in_precision(op, graph::fp32);
  return std::visit(
      [&]<class One>(const One& one) -> KernelPtr {
        if constexpr (std::is_same_v<One, BatchNormForward> || std::is_same_v<One, BatchNormInference>)
          return norm_in_ranges({openmp::FusedNorm<One>{one}, {}}, limits);
        else if constexpr (std::is_same_v<One, BatchNormBackward> || std::is_same_v<One, BiasBackward>)
          return sums_in_ranges(one, limits);
        else if constexpr (WithLoops::has<One>)
          if (InRanges<One>::suits(one, std::get<One>(wide))) return std::make_unique<InRanges<One>>(one, std::get<One>(wide), limits);
        return nullptr;
      },
      op);
}

}  // namespace fovea::onednn
