// The update of the parent, then the working copies of the new parameters.
#include "fovea/backend/onednn/backend.h"
#include "fovea/backend/onednn/values.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/graph/precision.h"

namespace fovea::onednn {
namespace {

constexpr int64_t block = 16384;  // elements that a task converts

class UpdateWithCopies final : public Kernel {
 public:
  UpdateWithCopies(const Update& op, KernelPtr in_float, const Limits& limits)
      : Kernel("onednn"), op_(op), kernel_(std::move(in_float)), threads_(limits.threads) {}
  std::string algorithm() const override { return kernel_->algorithm() + ", then copies"; }
  int threads() const override { return threads_; }
  size_t workspace_bytes() const override { return kernel_->workspace_bytes(); }

  void bind(Buffers buffers, void* workspace) override {
    const UpdatePlaces places = places_of(op_);
    size_t copy = places.working;
    pieces_.clear();
    for (size_t i = 0; i < op_.parameters.size(); ++i)
      if (op_.parameters[i].working == Update::Working::copy) add_copy(buffers.out[i], buffers.out[copy++]);
    buffers.out.resize(places.working);
    metrics_ = buffers.in[1];
    kernel_->bind(std::move(buffers), workspace);
  }

  void run(Stream& stream) override {
    kernel_->run(stream);
    if (metrics_.as_struct<Metrics>().non_finite > 0) return;  // then nothing has changed
    openmp::parallel_for(threads_, std::ssize(pieces_), [&](int64_t task) {
      const Piece& piece = pieces_[static_cast<size_t>(task)];
      narrow(piece.count, piece.from, piece.to);
    });
  }

 private:
  struct Piece {
    int64_t count;
    const float* from;
    uint16_t* to;
  };

  void add_copy(const Tensor& from, const Tensor& to) {
    const int64_t elements = from.shape.elements();
    for (int64_t first = 0; first < elements; first += block)
      pieces_.push_back({std::min(block, elements - first), from.as<float>().data() + first, static_cast<uint16_t*>(to.data) + first});
  }

  const Update op_;
  KernelPtr kernel_;
  const int threads_;
  Tensor metrics_;
  std::vector<Piece> pieces_;
};

}  // namespace

KernelPtr OnednnBackend::make(const Update& op, const Limits& limits) {
  if (op.types.x != DType::bf16) return OpenmpBackend::make(op, limits);
  Update wide = std::get<Update>(graph::in_precision(op, graph::fp32));
  for (Update::Parameter& parameter : wide.parameters) parameter.working = Update::Working::none;
  return std::make_unique<UpdateWithCopies>(op, OpenmpBackend::make(wide, limits), limits);
}

}  // namespace fovea::onednn
