#include "fovea/backend/openmp/data_gradient.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/eigen/lowering.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/product.h"
#include "fovea/backend/openmp/share.h"
#include "fovea/backend/openmp/simd.h"

namespace fovea::openmp {
namespace {

using eigen::input_floats;
using eigen::output_floats;
using eigen::patch_length;

int64_t patches_floats(const Conv2dShape& shape) { return shape.p() * shape.q() * patch_length(shape); }  // of one image

// What part of the work is of use: with patches, vectors are as wide as a patch, and each sum of k products is moved and added once more,
// which takes as long as about 12 products.
bool suits_patches(const Conv2dShape& shape, const Correlation& correlation) {
  if (shape.groups != 1 || shape.window.dilation_w != 1 || shape.window == Window{} || patches_floats(shape) > 65536 || shape.n < 8)
    return false;
  const double length = static_cast<double>(patch_length(shape)), k = static_cast<double>(shape.k);
  const double filled = length / static_cast<double>(ceil_div(patch_length(shape), lanes()) * lanes());
  return correlation.useful_part() < 0.95 * filled * k / (k + 12);
}

}  // namespace

DataGradient::DataGradient(const Conv2dShape& shape)
    : shape_(shape), correlation_(Correlation::backward_data(shape)), blocks_(correlation_), scatters_(suits_patches(shape, correlation_)) {
  images_at_a_time_ = std::clamp<int64_t>(16384 / patches_floats(shape), 1, std::max<int64_t>(1, shape.n / 64));
  of_task_ = scatters_ ? scratch_floats(images_at_a_time_) : blocks_.scratch_floats();
}

std::string DataGradient::algorithm() const { return fmt::format("{} ({})", scatters_ ? "patches" : "packed filter, direct", isa()); }

int64_t DataGradient::packed_floats() const { return scatters_ ? 0 : whole_lines(correlation_.packed_floats()); }

int64_t DataGradient::scratch_floats(int64_t images) const {
  return whole_lines(scatters_ ? images * patches_floats(shape_) + 16 : correlation_.scratch_floats(images, correlation_.lines()));
}

void DataGradient::prepare(int threads, const Memory& memory) const {
  if (!scatters_) correlation_.pack(threads, memory.w, memory.packed);
}

void DataGradient::run_images(const eigen::Images& images, const Memory& memory, Into into) const {
  if (scatters_) return scatter(images, memory, into);
  correlation_.run(
      {.first_image = images.first, .images = images.count, .lines = correlation_.lines(), .panels = correlation_.panels()},
      {.source = memory.dy, .packed = memory.packed, .scratch = memory.scratch, .out = memory.dx, .first_of_source = memory.first_of_dy},
      {into == Into::add ? Begin::c : Begin::zero});
}

void DataGradient::scatter(const eigen::Images& images, const Memory& memory, Into into) const {
  const int64_t length = patch_length(shape_), width = 2 * lanes();
  const float* dy = memory.dy + (images.first - memory.first_of_dy) * output_floats(shape_);
  float* dx = memory.dx + images.first * input_floats(shape_);
  Product product = {.rows = {.rows = images.count * shape_.p() * shape_.q(), .row_a = shape_.k, .row_c = length}, .of_b = Columns::just};
  product.walk[2] = {shape_.k, 1, length};
  for (int64_t first = 0; first < length; first += width) {
    product.columns = std::min(length - first, width);
    multiply(product, {.a = dy, .b = memory.w + first, .c = memory.scratch + first});
  }
  if (into == Into::overwrite) std::fill_n(dx, images.count * input_floats(shape_), 0.0f);
  eigen::scatter_images(shape_, images.count, memory.scratch, dx);
}

void DataGradient::run(int threads, const Memory& memory, Into into) const {
  prepare(threads, memory);
  const int64_t tasks = scatters_ ? ceil_div(shape_.n, images_at_a_time_) : blocks_.count();
  parallel_for(threads, tasks, [&](int64_t task, int worker) {
    Memory own = memory;
    own.scratch += worker * of_task_;
    if (scatters_) {
      const Share images(shape_.n, tasks, task);
      scatter({images.first, images.size}, own, into);
    } else {
      correlation_.run(blocks_.block(task), {own.dy, own.packed, own.scratch, own.dx}, {into == Into::add ? Begin::c : Begin::zero});
    }
  });
}

}  // namespace fovea::openmp
