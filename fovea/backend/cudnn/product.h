// Matrix products of linear layers by cuBLASLt. All of cuBLASLt is behind this.
#pragma once

#include <memory>

#include "fovea/backend/cudnn/engine.h"

namespace fovea::cudnn {

struct MatrixProduct {
  enum class Pass : uint8_t { forward, backward_data, backward_filter } pass = Pass::forward;
  LinearShape shape;
  Types types;
  Into into = Into::overwrite;  // of the gradients

  explicit MatrixProduct(const LinearForward& op) : shape(op.shape), types(op.types) {}
  explicit MatrixProduct(const LinearBackwardData& op) : pass(Pass::backward_data), shape(op.shape), types(op.types), into(op.into) {}
  explicit MatrixProduct(const LinearBackwardFilter& op) : pass(Pass::backward_filter), shape(op.shape), types(op.types), into(op.into) {}

  Problem problem() const;  // x w y, or dy w dx, or x dy dw
};

class ProductLibrary {
 public:
  virtual ~ProductLibrary() = default;
  // Sums in f32, whose parts are added in f32 and in a fixed order.
  virtual std::unique_ptr<Offer> offer(const MatrixProduct& product) = 0;
};
std::shared_ptr<ProductLibrary> open_products();

}  // namespace fovea::cudnn
