#include "fovea/backend/load.h"

namespace fovea {

LoadMaker::~LoadMaker() = default;

double Load::flops() const {
  const double per_element = kind == Kind::product ? 2.0 * depth : kind == Kind::read ? 1.0 : 2.0;
  return per_element * static_cast<double>(elements) * static_cast<double>(rounds);
}

double Load::bytes() const {
  const double tensors = kind == Kind::triad ? 3 : kind == Kind::read ? 1 : 0;
  return tensors * sizeof(float) * static_cast<double>(elements) * static_cast<double>(rounds);
}

std::vector<graph::Type> Load::in() const {
  return std::vector<graph::Type>(kind == Kind::triad ? 2 : kind == Kind::read ? 1 : 0, graph::Type{DType::f32, {elements}});
}

std::vector<graph::Type> Load::out() const { return {{DType::f32, {kind == Kind::read ? elements / block : elements}}}; }

}  // namespace fovea
