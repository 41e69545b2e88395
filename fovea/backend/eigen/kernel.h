// How the kernels of this backend are made and how they reach their buffers.
#pragma once

#include "fovea/backend/eigen/parts.h"
#include "fovea/backend/host_kernel.h"

namespace fovea::eigen {

// Whether every tensor is float; the parent has the kernels for other types.
inline bool in_float(const Types& types) { return types == Types{}; }

template <class Op, class Function>
KernelPtr kernel(std::string algorithm, Op op, Function function, int64_t workspace_floats = 0) {
  return host_kernel("eigen", std::move(algorithm), std::move(op), function, static_cast<size_t>(workspace_floats) * sizeof(float));
}

// All units as one range.
template <class Op>
KernelPtr loops(const Op& op) {
  const auto run_all = [](const Op& o, const Buffers& buffers, void* workspace) {
    run_part(o, {0, units_of(o).count}, buffers, workspace);
  };
  return kernel("loops", op, run_all, units_of(op).workspace_floats);
}

inline const float* input(const Buffers& buffers, size_t i) { return buffers.in[i].as<float>().data(); }
inline float* output(const Buffers& buffers, size_t i) { return buffers.out[i].as<float>().data(); }

}  // namespace fovea::eigen
