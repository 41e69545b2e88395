// A convolution fused with what surrounds it.
#include "fovea/backend/eigen/conv2d_block.h"

#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/column_sums.h"
#include "fovea/backend/eigen/direct_conv2d.h"
#include "fovea/backend/eigen/kernel.h"
#include "fovea/backend/eigen/lowered_conv2d.h"
#include "fovea/backend/eigen/pool_shape.h"

namespace fovea::eigen {
namespace {

// Parts of a workspace, one after the other, each aligned as vectors like it.
class Carve {
 public:
  explicit Carve(void* workspace) : next_(static_cast<float*>(workspace)) {}
  float* take(int64_t floats) {
    float* part = next_;
    next_ += aligned(floats);
    return part;
  }
  static int64_t aligned(int64_t floats) { return (floats + 15) / 16 * 16; }

 private:
  float* next_;
};

int64_t forward_workspace(const Conv2dBlockForward& block) {
  const int64_t conv2d = DirectConv2dForward(block.shape, block.rectify).workspace_floats();
  const int64_t y = block.keep_y == Keep::yes ? 0 : output_floats(block.shape);
  const int64_t pool = block.pool ? max_pool_workspace(loop_shape(*block.pool, 1)) : 0;
  return Carve::aligned(conv2d) + Carve::aligned(y) + Carve::aligned(pool);
}

void forward(const Conv2dBlockForward& block, const Buffers& buffers, void* workspace) {
  const Conv2dShape& shape = block.shape;
  Carve parts(workspace);
  DirectConv2dForward conv2d(shape, block.rectify);
  conv2d.prepare(input(buffers, 1), input(buffers, 2), parts.take(conv2d.workspace_floats()));
  if (!block.pool) return conv2d.run({0, shape.n}, input(buffers, 0), output(buffers, 0));

  const bool keep = block.keep_y == Keep::yes;
  const size_t first_of_pool = keep ? 1 : 0;
  float* one = keep ? nullptr : parts.take(output_floats(shape));
  MaxPool pool = {.shape = loop_shape(*block.pool, 1), .y = output(buffers, first_of_pool)};
  pool.workspace = reinterpret_cast<int32_t*>(parts.take(max_pool_workspace(pool.shape)));
  if (buffers.out.size() > first_of_pool + 1) pool.argmax = buffers.out[first_of_pool + 1].as<uint8_t>().data();
  for (int64_t n = 0; n < shape.n; ++n) {
    float* y = keep ? output(buffers, 0) + n * output_floats(shape) : one;
    conv2d.run({n, 1}, input(buffers, 0), y);
    pool.x = y;
    pool_loops().forward(pool);
    pool.y += pooled_floats(*block.pool);
    if (pool.argmax != nullptr) pool.argmax += pooled_floats(*block.pool);
  }
}

FOVEA_CLONES void rectified(int64_t elements, const float* __restrict y, const float* __restrict dy, float* __restrict dx) {
#pragma omp simd
  for (int64_t i = 0; i < elements; ++i) dx[i] = y[i] <= 0 ? 0 : dy[i];
}

int64_t gradient_floats(const Conv2dShape& shape) {
  return images_at_a_time(shape) * output_floats(shape) + DirectConv2dFilter(shape).readable_behind_dy();
}

int64_t backward_workspace(const Conv2dBlockBackward& block) {
  const Conv2dShape& shape = block.shape;
  return Carve::aligned(gradient_floats(shape)) + Carve::aligned(ColumnSums(shape.k).workspace_floats()) +
         Carve::aligned(DirectConv2dFilter(shape).workspace_floats()) +
         Carve::aligned(block.dx ? LoweredConv2d(shape).workspace_floats() : 0) +
         Carve::aligned(block.pool ? max_pool_workspace(loop_shape(*block.pool, 1)) : 0);
}

// The gradient of the convolution's output for some images, from that of the rectifier's or the pool's output.
class OutputGradient {
 public:
  OutputGradient(const Conv2dBlockBackward& block, const Buffers& buffers, Carve& parts) : block_(block), buffers_(buffers) {
    dz_ = parts.take(gradient_floats(block.shape));
    std::fill_n(dz_, gradient_floats(block.shape), 0.0f);
    if (block.pool) workspace_ = reinterpret_cast<int32_t*>(parts.take(max_pool_workspace(loop_shape(*block.pool, 1))));
  }

  const float* of(const Images& images) const {
    if (!block_.pool) {
      const int64_t first = images.first * output_floats(block_.shape);
      rectified(images.count * output_floats(block_.shape), input(buffers_, 1) + first, input(buffers_, 0) + first, dz_);
      return dz_;
    }
    const int64_t first = images.first * pooled_floats(*block_.pool);
    pool_loops().backward({.shape = loop_shape(*block_.pool, images.count),
                           .dy = input(buffers_, 0) + first,
                           .argmax = buffers_.in[2].as<uint8_t>().data() + first,
                           .y = input(buffers_, 1) + first,
                           .dx = dz_,
                           .workspace = workspace_});
    return dz_;
  }

 private:
  const Conv2dBlockBackward& block_;
  const Buffers& buffers_;
  float* dz_ = nullptr;
  int32_t* workspace_ = nullptr;
};

void backward(const Conv2dBlockBackward& block, const Buffers& buffers, void* workspace) {
  const Conv2dShape& shape = block.shape;
  const size_t at_x = block.pool ? 3 : 2;
  Carve parts(workspace);
  const OutputGradient gradient(block, buffers, parts);
  ColumnSums sums(shape.k, parts.take(ColumnSums(shape.k).workspace_floats()));
  sums.clear();
  DirectConv2dFilter filter(shape);
  filter.prepare(parts.take(filter.workspace_floats()));
  LoweredConv2d data(shape);
  if (block.dx) data.bind(parts.take(data.workspace_floats()));
  for_each_images(shape, [&](const Images& images) {
    const float* dz = gradient.of(images);
    sums.add(images.count * shape.p() * shape.q(), dz);
    filter.run(images, input(buffers, at_x), dz);
    if (block.dx) data.backward_data(images, *block.dx, dz, input(buffers, at_x + 1), output(buffers, 2));
  });
  sums.finish(block.db, output(buffers, 0));
  filter.finish(block.dw, output(buffers, 1));
}

}  // namespace

KernelPtr make_kernel(const Conv2dBlockForward& block) { return kernel(direct_algorithm(), block, forward, forward_workspace(block)); }

KernelPtr make_kernel(const Conv2dBlockBackward& block) {
  const std::string data = block.dx ? " and " + LoweredConv2d(block.shape).algorithm() : "";
  return kernel(direct_algorithm() + data, block, backward, backward_workspace(block));
}

}  // namespace fovea::eigen
