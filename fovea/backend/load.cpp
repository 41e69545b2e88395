#include "fovea/backend/load.h"

namespace fovea {

LoadMaker::~LoadMaker() = default;

double Load::flops() const {
  return (kind == Kind::multiply_add ? 2.0 : kind == Kind::triad ? 2.0 : 1.0) * static_cast<double>(elements) * static_cast<double>(rounds);
}

double Load::bytes() const {
  const double tensors = kind == Kind::multiply_add ? 0 : kind == Kind::triad ? 3 : 1;
  return tensors * sizeof(float) * static_cast<double>(elements) * static_cast<double>(rounds);
}

std::vector<graph::Type> Load::in() const {
  return std::vector<graph::Type>(kind == Kind::multiply_add ? 0 : kind == Kind::read ? 1 : 2, graph::Type{DType::f32, {elements}});
}

std::vector<graph::Type> Load::out() const { return {{DType::f32, {kind == Kind::read ? elements / block : elements}}}; }

}  // namespace fovea
