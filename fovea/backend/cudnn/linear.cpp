// Linear layers, each by an algorithm of cuBLASLt where it has one.
#include <fmt/format.h>

#include "fovea/backend/cudnn/backend.h"

namespace fovea::cudnn {

Conv2dShape images_of_one_pixel(const LinearShape& shape) {
  Conv2dShape images;
  images.n = shape.n;
  images.c = shape.c;
  images.k = shape.k;
  return images;
}

Problem MatrixProduct::problem() const {
  static constexpr std::string_view passes[] = {LinearForward::name, LinearBackwardData::name, LinearBackwardFilter::name};
  const Operand x = {types.x, shape.n * shape.c}, w = {types.w, shape.k * shape.c}, y = {types.y, shape.n * shape.k};
  Problem problem{fmt::format("cublaslt {} {} n{} c{} k{}{}", passes[static_cast<size_t>(pass)], precision_of(types), shape.n, shape.c,
                              shape.k, into == Into::add ? " add" : ""),
                  {}};
  if (pass == Pass::forward) problem.operands = {x, w, y};
  if (pass == Pass::backward_data) problem.operands = {y, w, x};
  if (pass == Pass::backward_filter) problem.operands = {x, y, w};
  return problem;
}

Chosen CudnnBackend::chosen(const MatrixProduct& product, const Limits& limits) {
  if (!is_within_reach(images_of_one_pixel(product.shape), product.types)) return {};
  if (!products_) products_ = open_products();
  return chosen(product.problem(), limits, [&] { return products_->offer(product); });
}

KernelPtr CudnnBackend::make(const LinearForward& op, const Limits& limits) {
  const Chosen choice = chosen(MatrixProduct(op), limits);
  return choice.engine ? make_kernel(choice) : CudaBackend::make(op, limits);
}
KernelPtr CudnnBackend::make(const LinearBackwardData& op, const Limits& limits) {
  const Chosen choice = chosen(MatrixProduct(op), limits);
  return choice.engine ? make_kernel(choice) : CudaBackend::make(op, limits);
}
KernelPtr CudnnBackend::make(const LinearBackwardFilter& op, const Limits& limits) {
  const Chosen choice = chosen(MatrixProduct(op), limits);
  return choice.engine ? make_kernel(choice) : CudaBackend::make(op, limits);
}

}  // namespace fovea::cudnn
