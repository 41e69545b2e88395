// Batch normalisation per channel, with the statistics of the batch or with given ones.
#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/batchnorm_rows.h"
#include "fovea/backend/eigen/kernel.h"

namespace fovea::eigen {
namespace {

// Both passes over all rows as one range.
template <class Run>
void run_whole(const Run& run, void* workspace) {
  float* sums = static_cast<float*>(workspace);
  float* factors = sums + sums_floats(run.shape.c);
  const Range all = {0, run.shape.rows};
  prepare(run, factors);
  sum_rows(run, all, factors, sums);
  finish(run, {sums, 1}, factors);
  store_rows(run, all, factors);
}

int64_t workspace_floats(int64_t c) { return sums_floats(c) + factors_floats(c); }

}  // namespace

BatchNormRun run_of(const BatchNormForward& op, const Buffers& buffers) {
  return {.shape = {op.rows, op.c, op.epsilon},
          .x = input(buffers, 0),
          .scale = input(buffers, 1),
          .shift = input(buffers, 2),
          .y = output(buffers, 0),
          .mean = output(buffers, 1),
          .variance = output(buffers, 2)};
}

BatchNormRun run_of(const BatchNormInference& op, const Buffers& buffers) {
  return {.shape = {op.rows, op.c, op.epsilon},
          .x = input(buffers, 0),
          .scale = input(buffers, 1),
          .shift = input(buffers, 2),
          .y = output(buffers, 0)};
}

BatchNormGradient run_of(const BatchNormBackward& op, const Buffers& buffers) {
  return {.shape = {op.rows, op.c, op.epsilon},
          .x = input(buffers, 0),
          .dy = input(buffers, 1),
          .scale = input(buffers, 2),
          .mean = input(buffers, 3),
          .variance = input(buffers, 4),
          .into = op.into,
          .into_scale = op.into_scale,
          .into_shift = op.into_shift,
          .dx = output(buffers, 0),
          .dscale = output(buffers, 1),
          .dshift = output(buffers, 2)};
}

template <>
Units units_of(const BatchNormInference& op) {
  return {op.rows, 2 * op.c, factors_floats(op.c)};
}
template <>
void run_part(const BatchNormInference& op, const Range& rows, const Buffers& buffers, void* workspace) {
  const BatchNormRun run = run_of(op, buffers);
  float* factors = static_cast<float*>(workspace);
  set_factors(run, {input(buffers, 3), input(buffers, 4)}, factors);
  store_rows(run, rows, factors);
}

KernelPtr EigenBackend::make(const BatchNormForward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  const auto function = [](const BatchNormForward& o, const Buffers& buffers, void* workspace) {
    run_whole(run_of(o, buffers), workspace);
  };
  return kernel("loops", op, function, workspace_floats(op.c));
}
KernelPtr EigenBackend::make(const BatchNormInference& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const BatchNormBackward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  const auto function = [](const BatchNormBackward& o, const Buffers& buffers, void* workspace) {
    run_whole(run_of(o, buffers), workspace);
  };
  return kernel("loops", op, function, workspace_floats(op.c));
}

}  // namespace fovea::eigen
