#include "fovea/backend/openmp/conv2d_gradients.h"

#include <fmt/format.h>

#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/column_sums.h"
#include "fovea/backend/eigen/images.h"
#include "fovea/backend/eigen/pool_shape.h"
#include "fovea/backend/openmp/data_gradient.h"
#include "fovea/backend/openmp/filter_gradient.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/share.h"
#include "fovea/backend/openmp/simd.h"

namespace fovea::openmp {
namespace {

using eigen::Conv2dBlockBackward;
using eigen::output_floats;

FOVEA_CLONES void rectified(int64_t elements, const float* __restrict y, const float* __restrict dy, float* __restrict dx) {
#pragma omp simd
  for (int64_t i = 0; i < elements; ++i) dx[i] = y[i] <= 0 ? 0 : dy[i];
}

// dz, the gradient of the convolution's output, from that of the rectifier's or the pool's, and its sums.
class OutputGradient {
 public:
  explicit OutputGradient(const Conv2dBlockBackward& block) : block_(block) {
    if (block.pool) pool_floats_ = whole_lines(eigen::max_pool_workspace(eigen::loop_shape(*block.pool, 1)));
  }
  int64_t scratch_floats() const { return pool_floats_; }
  int64_t sums_floats() const { return whole_lines(eigen::ColumnSums(block_.shape.k).workspace_floats()); }
  eigen::ColumnSums sums(float* memory) const { return eigen::ColumnSums(block_.shape.k, memory); }

  // Of these rows (pixels of all images), whole images where there is a pool.
  void run(const Buffers& buffers, const Lines& rows, float* scratch, float* dz, eigen::ColumnSums& sums) const {
    const int64_t k = block_.shape.k;
    if (block_.pool)
      unpool(buffers, rows, scratch, dz);
    else
      rectified(rows.count * k, input(buffers, 1) + rows.first * k, input(buffers, 0) + rows.first * k, dz);
    sums.add(rows.count, dz);
  }

  // The sums of so many ranges, one after the other in memory.
  void finish(int64_t ranges, float* memory, float* db) const {
    eigen::ColumnSums total = sums(memory);
    for (int64_t range = 1; range < ranges; ++range) total.add(sums(memory + range * sums_floats()));
    total.finish(block_.db, db);
  }

 private:
  void unpool(const Buffers& buffers, const Lines& rows, float* scratch, float* dz) const {
    const int64_t pixels = block_.shape.p() * block_.shape.q(), floats = eigen::pooled_floats(*block_.pool);
    const int64_t first = rows.first / pixels * floats;
    eigen::pool_loops().backward({.shape = eigen::loop_shape(*block_.pool, rows.count / pixels),
                                  .dy = input(buffers, 0) + first,
                                  .argmax = buffers.in[2].as<uint8_t>().data() + first,
                                  .y = input(buffers, 1) + first,
                                  .dx = dz,
                                  .workspace = reinterpret_cast<int32_t*>(scratch)});
  }

  Conv2dBlockBackward block_;
  int64_t pool_floats_ = 0;
};

// Where the kernels find what is not dz.
const float* x_of(const Conv2dBlockBackward& block, const Buffers& buffers) { return input(buffers, block.pool ? 3 : 2); }
const float* w_of(const Conv2dBlockBackward& block, const Buffers& buffers) { return input(buffers, block.pool ? 4 : 3); }

// Each task takes some images from dz on, a few at a time, and has a part of db and dw.
class ByImages {
 public:
  static bool suits(const Conv2dShape& shape) {
    const int64_t dw = shape.k * shape.window.r * shape.window.s * (shape.c / shape.groups);
    return shape.window != Window{} && shape.n >= 16 && dw <= 65536 && output_floats(shape) <= 65536 &&
           shape.n / parts(shape) * shape.p() * shape.q() >= 100;
  }

  explicit ByImages(const Conv2dBlockBackward& block) : gradient_(block), filter_(block.shape, parts(block.shape)), data_(block.shape) {
    const int64_t most = ceil_div(block.shape.n, filter_.parts());
    at_a_time_ = std::clamp<int64_t>(256 / (block.shape.p() * block.shape.q()), 1, most);
    dz_floats_ = whole_lines(at_a_time_ * output_floats(block.shape));
    data_floats_ = block.dx ? data_.scratch_floats(at_a_time_) : 0;
    packed_floats_ = block.dx ? data_.packed_floats() : 0;
  }
  int64_t workspace_floats(int threads) const {
    return packed_floats_ + whole_lines(filter_.parts() * filter_.part_floats()) + filter_.parts() * gradient_.sums_floats() +
           threads * own_floats();
  }

  void operator()(const Conv2dBlockBackward& block, const Run& run) const {
    float* packed = run.workspace;
    float* parts = packed + packed_floats_;
    float* db = parts + whole_lines(filter_.parts() * filter_.part_floats());
    float* scratch = db + filter_.parts() * gradient_.sums_floats();
    if (block.dx) data_.prepare(run.threads, {.w = w_of(block, run.buffers), .packed = packed});
    parallel_for(run.threads, filter_.parts(), [&](int64_t part, int worker) {
      const Share images(block.shape.n, filter_.parts(), part);
      const Place place = {packed, parts + part * filter_.part_floats(), db + part * gradient_.sums_floats(),
                           scratch + worker * own_floats()};
      gradient_.sums(place.db).clear();
      for (int64_t i = 0; i < images.size; i += at_a_time_) {
        const eigen::Images few = {images.first + i, std::min(at_a_time_, images.size - i)};
        run_images(block, run.buffers, few, place, i == 0 ? Sum::begin : Sum::go_on);
      }
    });
    filter_.reduce(run.threads, block.dw, parts, output(run.buffers, 1));
    gradient_.finish(filter_.parts(), db, output(run.buffers, 0));
  }

 private:
  struct Place {
    float *packed, *part, *db, *own;
  };
  static int64_t parts(const Conv2dShape& shape) { return std::min<int64_t>(shape.n, 32); }
  int64_t own_floats() const { return dz_floats_ + gradient_.scratch_floats() + filter_.scratch_floats() + data_floats_; }

  void run_images(const Conv2dBlockBackward& block, const Buffers& buffers, const eigen::Images& images, const Place& place,
                  Sum sum) const {
    const int64_t p = block.shape.p(), pixels = p * block.shape.q(), n = images.first;
    float* dz = place.own;
    float* scratch = dz + dz_floats_;
    eigen::ColumnSums sums = gradient_.sums(place.db);
    gradient_.run(buffers, {n * pixels, images.count * pixels}, scratch, dz, sums);
    scratch += gradient_.scratch_floats();
    const FilterGradient::Memory memory = {
        .x = x_of(block, buffers), .dy = dz, .first_of_dy = n * p, .scratch = scratch, .part = place.part};
    for (int64_t tile = 0; tile < filter_.tiles(); ++tile) filter_.run(tile, {n * p, images.count * p}, memory, sum);
    scratch += filter_.scratch_floats();
    if (block.dx)
      data_.run_images(
          images,
          {.dy = dz, .w = w_of(block, buffers), .packed = place.packed, .scratch = scratch, .dx = output(buffers, 2), .first_of_dy = n},
          *block.dx);
  }

  OutputGradient gradient_;
  FilterGradient filter_;
  DataGradient data_;
  int64_t at_a_time_ = 1, dz_floats_ = 0, data_floats_ = 0, packed_floats_ = 0;
};

// dz and db of the whole batch, then dw, then dx.
class InPhases {
 public:
  explicit InPhases(const Conv2dBlockBackward& block) : gradient_(block), filter_(block.shape), data_(block.shape) {
    const Conv2dShape& shape = block.shape;
    const int64_t units = block.pool ? shape.n : shape.n * shape.p() * shape.q();
    ranges_ = std::clamp<int64_t>(shape.n * output_floats(shape) / 16384, 1, std::min<int64_t>(units, 64));
    dz_floats_ = whole_lines(shape.n * output_floats(shape));
    packed_floats_ = block.dx ? data_.packed_floats() : 0;
    own_floats_ = std::max({gradient_.scratch_floats(), filter_.scratch_floats(), block.dx ? data_.scratch_floats() : 0});
  }
  int64_t workspace_floats(int threads) const {
    return dz_floats_ + ranges_ * gradient_.sums_floats() + std::max(packed_floats_, filter_.all_parts_floats()) + threads * own_floats_;
  }

  void operator()(const Conv2dBlockBackward& block, const Run& run) const {
    float* dz = run.workspace;
    float* db = dz + dz_floats_;
    float* packed = db + ranges_ * gradient_.sums_floats();  // where the parts of dw are before
    float* scratch = packed + std::max(packed_floats_, filter_.all_parts_floats());
    const int64_t pixels = block.shape.p() * block.shape.q(), unit = block.pool ? pixels : 1;
    parallel_for(run.threads, ranges_, [&](int64_t range, int worker) {
      const Share units(block.shape.n * pixels / unit, ranges_, range);
      const Lines rows = {units.first * unit, units.size * unit};
      eigen::ColumnSums sums = gradient_.sums(db + range * gradient_.sums_floats());
      sums.clear();
      gradient_.run(run.buffers, rows, scratch + worker * own_floats_, dz + rows.first * block.shape.k, sums);
    });
    gradient_.finish(ranges_, db, output(run.buffers, 0));
    filter_.run(block.dw, {x_of(block, run.buffers), dz, output(run.buffers, 1), packed, scratch, run.threads});
    if (!block.dx) return;
    const DataGradient::Memory memory = {
        .dy = dz, .w = w_of(block, run.buffers), .packed = packed, .scratch = scratch, .dx = output(run.buffers, 2)};
    data_.run(run.threads, memory, *block.dx);
  }

 private:
  OutputGradient gradient_;
  FilterGradient filter_;
  DataGradient data_;
  int64_t ranges_ = 1, dz_floats_ = 0, packed_floats_ = 0, own_floats_ = 0;
};

template <class Function>
KernelPtr gradients_kernel(const Conv2dBlockBackward& block, std::string algorithm, const Limits& limits) {
  const Function function(block);
  const int threads = threads_for(limits, block.shape.macs());
  return kernel(std::move(algorithm), block, function, threads, function.workspace_floats(threads));
}

}  // namespace

KernelPtr make_gradients(const Conv2dBlockBackward& block, const Limits& limits) {
  if (ByImages::suits(block.shape)) return gradients_kernel<ByImages>(block, fmt::format("direct, by images ({})", isa()), limits);
  return gradients_kernel<InPhases>(block, fmt::format("direct, in phases ({})", isa()), limits);
}

}  // namespace fovea::openmp
