// Linear layers in bf16: 1 x 1 convolutions over images of one line, whose pixels are the rows.
#include "fovea/backend/onednn/backend.h"
#include "fovea/backend/onednn/conv2d.h"
#include "fovea/backend/onednn/parts.h"

namespace fovea::onednn {
namespace {

// Below them the parent's kernel and its conversions are faster; the gradient of a matrix is deep where there are many rows.
constexpr int64_t least_macs = int64_t{1} << 20, least_depth = 128;

bool is_taken(const LinearShape& shape, const Types& types) {
  return types.x == DType::bf16 && types.y == DType::bf16 && shape.n * shape.c * shape.k >= least_macs;
}

Conv2dShape as_conv2d(const LinearShape& shape) {
  const int64_t rows = divisor_up_to(shape.n, std::clamp<int64_t>(shape.n / 16, 4, 64));
  return {.n = shape.n / rows, .h = 1, .w = rows, .c = shape.c, .k = shape.k, .window = {}};
}

}  // namespace

KernelPtr OnednnBackend::make(const LinearForward& op, const Limits& limits) {
  KernelPtr kernel = is_taken(op.shape, op.types) ? forward_kernel({as_conv2d(op.shape), op.types}, {}, limits) : nullptr;
  return kernel ? std::move(kernel) : make_widened(op, limits);
}
KernelPtr OnednnBackend::make(const LinearBackwardData& op, const Limits& limits) {
  KernelPtr kernel = is_taken(op.shape, op.types) ? data_kernel({as_conv2d(op.shape), op.into, op.types}, limits) : nullptr;
  return kernel ? std::move(kernel) : make_widened(op, limits);
}
KernelPtr OnednnBackend::make(const LinearBackwardFilter& op, const Limits& limits) {
  const bool taken = op.shape.n >= least_depth && is_taken(op.shape, op.types);
  KernelPtr kernel = taken ? filter_kernel({as_conv2d(op.shape), op.into, op.types}, limits) : nullptr;
  return kernel ? std::move(kernel) : make_widened(op, limits);
}

}  // namespace fovea::onednn
