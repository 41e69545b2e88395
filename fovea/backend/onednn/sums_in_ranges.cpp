// Batch norms and the gradient of a bias: rows in ranges, first the sums of each range, then what is stored.
#include <algorithm>

#include "fovea/backend/eigen/column_sums.h"
#include "fovea/backend/onednn/in_ranges.h"
#include "fovea/backend/onednn/values.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/parts.h"

namespace fovea::onednn {
namespace {

using eigen::Range;
using openmp::aligned;

constexpr int64_t elements_of_a_range = 16384;
constexpr int64_t sampled_rows = 16;  // that eigen::prepare reads

template <class Run>
struct Rows {
  std::vector<const float * Run::*> read;
  std::vector<float * Run::*> written;
};
Rows<eigen::BatchNormRun> rows_of(const eigen::BatchNormRun& run) {
  Rows<eigen::BatchNormRun> rows{{&eigen::BatchNormRun::x}, {&eigen::BatchNormRun::y}};
  if (run.other != nullptr) rows.read.push_back(&eigen::BatchNormRun::other);
  return rows;
}
Rows<eigen::BatchNormGradient> rows_of(const eigen::BatchNormGradient& run) {
  using Gradient = eigen::BatchNormGradient;
  Rows<Gradient> rows{{&Gradient::x, &Gradient::dy}, {&Gradient::dx}};
  if (run.y != nullptr) rows.read.push_back(&Gradient::y);
  if (run.g != nullptr) rows.written.push_back(&Gradient::g);
  return rows;
}

struct PlainBackward {
  BatchNormBackward norm;
};
eigen::BatchNormGradient run_of(const PlainBackward& plain, const Buffers& buffers) { return eigen::run_of(plain.norm, buffers); }

// `Fused`: a batch norm with what stands behind it, or a gradient with what stands before it.
template <class Fused>
class NormInRanges final : public Kernel {
  using Run = decltype(run_of(std::declval<Fused>(), std::declval<Buffers>()));
  static constexpr bool has_statistics = std::is_same_v<Fused, openmp::FusedNorm<BatchNormInference>>;
  static constexpr int64_t most_tensors = 5;

 public:
  NormInRanges(const Fused& fused, const Limits& limits)
      : Kernel("onednn"),
        fused_(fused),
        c_(fused.norm.c),
        split_{fused.norm.rows, std::max<int64_t>(1, elements_of_a_range / fused.norm.c)},
        threads_(static_cast<int>(std::min<int64_t>(openmp::threads_for(limits, fused.norm.rows * c_), split_.ranges()))) {}
  std::string algorithm() const override { return "loops on ranges in float"; }
  int threads() const override { return threads_; }
  size_t workspace_bytes() const override {
    const int64_t sums = has_statistics ? 0 : split_.ranges() * eigen::sums_floats(c_);
    return static_cast<size_t>(eigen::factors_floats(c_) + aligned(sampled_rows * c_) + sums + threads_ * most_tensors * tensor_floats()) *
           sizeof(float);
  }

  void bind(Buffers buffers, void* workspace) override {
    factors_ = static_cast<float*>(workspace);
    samples_ = factors_ + eigen::factors_floats(c_);
    sums_ = samples_ + aligned(sampled_rows * c_);
    scratch_ = sums_ + (has_statistics ? 0 : split_.ranges() * eigen::sums_floats(c_));
    if constexpr (has_statistics) statistics_ = {buffers.in[3].as<float>().data(), buffers.in[4].as<float>().data()};
    for (std::vector<Tensor>* side : {&buffers.in, &buffers.out})
      for (Tensor& tensor : *side) tensor.dtype = DType::f32;  // until a range of it is widened
    run_ = run_of(fused_, buffers);
    rows_ = rows_of(run_);
  }

  void run(Stream&) override {
    if constexpr (has_statistics) {
      eigen::set_factors(run_, statistics_, factors_);
    } else {
      prepare(run_);
      openmp::parallel_for(threads_, split_.ranges(), [&](int64_t task, int worker) {
        const Run own = widened(split_.range(task), worker, Pass::first);
        eigen::sum_rows(own, split_.range(task), factors_, sums_ + task * eigen::sums_floats(c_));
        keep(own, split_.range(task), Pass::first);
      });
      eigen::finish(run_, {sums_, split_.ranges()}, factors_);
    }
    openmp::parallel_for(threads_, split_.ranges(), [&](int64_t task, int worker) {
      const Run own = widened(split_.range(task), worker, Pass::second);
      eigen::store_rows(own, split_.range(task), factors_);
      keep(own, split_.range(task), Pass::second);
    });
  }

 private:
  enum class Pass : uint8_t { first, second };
  int64_t tensor_floats() const { return aligned(split_.block * c_); }

  static uint16_t* small(const float* whole) { return reinterpret_cast<uint16_t*>(const_cast<float*>(whole)); }

  // The gradient of the rectifier is kept in the first pass and read in the second.
  static bool is_g(float* Run::*member) {
    if constexpr (std::is_same_v<Run, eigen::BatchNormGradient>) return member == &Run::g;
    return false;
  }
  bool adds() const {
    if constexpr (std::is_same_v<Run, eigen::BatchNormGradient>) return run_.into == Into::add;
    return false;
  }

  void prepare(const eigen::BatchNormGradient& run) const { eigen::prepare(run, factors_); }
  void prepare(eigen::BatchNormRun run) const {
    const int64_t rows = run.shape.rows, samples = std::min(rows, sampled_rows);
    for (int64_t i = 0; i < samples; ++i) widen(c_, small(run.x) + rows * i / samples * c_, samples_ + i * c_);
    run.shape.rows = samples;
    run.x = samples_;
    eigen::prepare(run, factors_);
  }

  Run widened(const Range& range, int worker, Pass pass) const {
    Run own = run_;
    const int64_t first = range.first * c_, count = range.count * c_;
    float* next = scratch_ + worker * most_tensors * tensor_floats();
    const auto take = [&](const float* whole, bool is_read) {
      float* wide = next;
      next += tensor_floats();
      if (is_read) widen(count, small(whole) + first, wide);
      return wide - first;
    };
    for (const auto member : rows_.read) own.*member = take(run_.*member, true);
    for (const auto member : rows_.written) own.*member = take(run_.*member, pass == Pass::second && (is_g(member) || adds()));
    return own;
  }

  void keep(const Run& own, const Range& range, Pass pass) const {
    const int64_t first = range.first * c_, count = range.count * c_;
    for (const auto member : rows_.written)
      if (is_g(member) == (pass == Pass::first)) narrow(count, own.*member + first, small(run_.*member) + first);
  }

  const Fused fused_;
  const int64_t c_;
  const openmp::Split split_;
  const int threads_;
  Run run_;
  Rows<Run> rows_;
  eigen::Statistics statistics_ = {};
  float *factors_ = nullptr, *samples_ = nullptr, *sums_ = nullptr, *scratch_ = nullptr;
};

// The sums of ranges of rows lie in the workspace, then are added in their order. With the gradient of a rectifier in front of them.
class BiasInRanges final : public Kernel {
 public:
  BiasInRanges(const BiasBackward& op, Mask mask, const Limits& limits)
      : Kernel("onednn"),
        op_(op),
        mask_(mask),
        split_{op.rows, std::max<int64_t>({1, elements_of_a_range / op.k, (op.rows + 63) / 64})},
        threads_(static_cast<int>(std::min<int64_t>(openmp::threads_for(limits, op.rows * op.k), split_.ranges()))) {}
  std::string algorithm() const override { return "loops on ranges in float"; }
  int threads() const override { return threads_; }
  size_t workspace_bytes() const override {
    return static_cast<size_t>(split_.ranges() * sums_floats() + threads_ * scratch_floats()) * sizeof(float);
  }
  void bind(Buffers buffers, void* workspace) override {
    const bool rectifies = mask_ == Mask::by_y;
    y_ = rectifies ? static_cast<const uint16_t*>(buffers.in[0].data) : nullptr;
    dy_ = static_cast<const uint16_t*>(buffers.in[rectifies ? 1 : 0].data);
    dx_ = rectifies ? static_cast<uint16_t*>(buffers.out[0].data) : nullptr;
    db_ = buffers.out[rectifies ? 1 : 0].as<float>().data();
    sums_ = static_cast<float*>(workspace);
    scratch_ = sums_ + split_.ranges() * sums_floats();
  }

  void run(Stream&) override {
    const int64_t rows = scratch_rows();
    openmp::parallel_for(threads_, split_.ranges(), [&](int64_t task, int worker) {
      const Range range = split_.range(task);
      eigen::ColumnSums sums(op_.k, sums_ + task * sums_floats());
      sums.clear();
      float* wide = scratch_ + worker * scratch_floats();
      for (int64_t first = 0; first < range.count; first += rows) {
        const int64_t count = std::min(rows, range.count - first);
        const int64_t at = (range.first + first) * op_.k;
        if (mask_ == Mask::by_y) rectified(count * op_.k, y_ + at, dy_ + at, dx_ + at);
        widen(count * op_.k, (mask_ == Mask::by_y ? dx_ : dy_) + at, wide);
        sums.add(count, wide);
      }
    });
    eigen::ColumnSums total(op_.k, sums_);
    for (int64_t range = 1; range < split_.ranges(); ++range) total.add(eigen::ColumnSums(op_.k, sums_ + range * sums_floats()));
    total.finish(op_.into, db_);
  }

 private:
  int64_t sums_floats() const { return aligned(eigen::ColumnSums(op_.k).workspace_floats()); }
  int64_t scratch_rows() const { return std::max<int64_t>(1, elements_of_a_range / op_.k); }
  int64_t scratch_floats() const { return aligned(scratch_rows() * op_.k); }

  const BiasBackward op_;
  const Mask mask_;
  const openmp::Split split_;
  const int threads_;
  const uint16_t *y_ = nullptr, *dy_ = nullptr;
  uint16_t* dx_ = nullptr;
  float *db_ = nullptr, *sums_ = nullptr, *scratch_ = nullptr;
};

}  // namespace

KernelPtr norm_in_ranges(const openmp::NormMatch& match, const Limits& limits) {
  return std::visit([&]<class Fused>(const Fused& fused) -> KernelPtr { return std::make_unique<NormInRanges<Fused>>(fused, limits); },
                    match.fused);
}

KernelPtr sums_in_ranges(const BatchNormBackward& op, const Limits& limits) {
  return std::make_unique<NormInRanges<PlainBackward>>(PlainBackward{op}, limits);
}

KernelPtr sums_in_ranges(const BiasBackward& op, const Limits& limits, Mask mask) {
  return std::make_unique<BiasInRanges>(op, mask, limits);
}

}  // namespace fovea::onednn
