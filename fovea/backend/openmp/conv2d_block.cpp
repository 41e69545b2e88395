// Forward, and which blocks are taken.
#include "fovea/backend/openmp/conv2d_block.h"

#include <fmt/format.h>

#include "fovea/backend/eigen/depthwise.h"
#include "fovea/backend/eigen/images.h"
#include "fovea/backend/eigen/pool_shape.h"
#include "fovea/backend/openmp/blocks.h"
#include "fovea/backend/openmp/conv2d_gradients.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/share.h"
#include "fovea/backend/openmp/simd.h"

namespace fovea::openmp {
namespace {

using eigen::Conv2dBlockBackward;
using eigen::Conv2dBlockForward;
using eigen::Keep;
using eigen::output_floats;

// An image's output that stays in the second cache until it is pooled.
bool is_small(const Conv2dShape& shape) { return output_floats(shape) <= 65536 && shape.window != Window{}; }

Ends ends_of(const Conv2dBlockForward& block) { return {Begin::bias, block.rectify == eigen::Rectify::yes ? Rectify::yes : Rectify::no}; }

int64_t packed_floats(const Correlation& correlation) { return whole_lines(correlation.packed_floats() + correlation.bias_floats()); }

// The filter and the biases lie at the begin of the workspace.
void pack(const Correlation& correlation, const Run& run) {
  correlation.pack(run.threads, input(run.buffers, 1), run.workspace);
  correlation.pack_bias(input(run.buffers, 2), run.workspace);
}

class Unpooled {
 public:
  explicit Unpooled(const Conv2dBlockForward& block) : correlation_(Correlation::forward(block.shape)), blocks_(correlation_) {}
  int64_t workspace_floats(int threads) const { return packed_floats(correlation_) + threads * blocks_.scratch_floats(); }

  void operator()(const Conv2dBlockForward& block, const Run& run) const {
    pack(correlation_, run);
    float* scratch = run.workspace + packed_floats(correlation_);
    parallel_for(run.threads, blocks_.count(), [&](int64_t task, int worker) {
      float* own = scratch + worker * blocks_.scratch_floats();
      correlation_.run(blocks_.block(task), {input(run.buffers, 0), run.workspace, own, output(run.buffers, 0)}, ends_of(block));
    });
  }

 private:
  Correlation correlation_;
  Blocks blocks_;
};

// Some images a task, one after the other: convolution into memory of the thread, then pooling.
class Pooled {
 public:
  explicit Pooled(const Conv2dBlockForward& block) : correlation_(Correlation::forward(block.shape)) {
    tasks_ = std::clamp<int64_t>(correlation_.macs() / 32768, 1, block.shape.n);
    copy_floats_ = whole_lines(correlation_.scratch_floats(1, correlation_.lines()));
    y_floats_ = block.keep_y == Keep::yes ? 0 : whole_lines(output_floats(block.shape));
    pool_floats_ = whole_lines(eigen::max_pool_workspace(eigen::loop_shape(*block.pool, 1)));
  }
  int64_t workspace_floats(int threads) const { return packed_floats(correlation_) + threads * own_floats(); }

  void operator()(const Conv2dBlockForward& block, const Run& run) const {
    pack(correlation_, run);
    float* scratch = run.workspace + packed_floats(correlation_);
    parallel_for(run.threads, tasks_, [&](int64_t task, int worker) {
      const Share images(block.shape.n, tasks_, task);
      for (int64_t n = images.first; n < images.first + images.size; ++n) run_image(block, run, scratch + worker * own_floats(), n);
    });
  }

 private:
  int64_t own_floats() const { return copy_floats_ + y_floats_ + pool_floats_; }

  void run_image(const Conv2dBlockForward& block, const Run& run, float* own, int64_t n) const {
    const Buffers& buffers = run.buffers;
    const bool keeps = block.keep_y == Keep::yes;
    const size_t first_of_pool = keeps ? 1 : 0;
    float* y = keeps ? output(buffers, 0) + n * output_floats(block.shape) : own + copy_floats_;
    correlation_.run({.first_image = n, .lines = correlation_.lines(), .panels = correlation_.panels()},
                     {input(buffers, 0), run.workspace, own, y, n}, ends_of(block));
    const int64_t first = n * eigen::pooled_floats(*block.pool);
    eigen::MaxPool pool = {.shape = eigen::loop_shape(*block.pool, 1), .x = y, .y = output(buffers, first_of_pool) + first};
    pool.workspace = reinterpret_cast<int32_t*>(own + copy_floats_ + y_floats_);
    if (buffers.out.size() > first_of_pool + 1) pool.argmax = buffers.out[first_of_pool + 1].as<uint8_t>().data() + first;
    eigen::pool_loops().forward(pool);
  }

  Correlation correlation_;
  int64_t tasks_ = 1, copy_floats_ = 0, y_floats_ = 0, pool_floats_ = 0;
};

template <class Function>
KernelPtr forward_kernel(const Conv2dBlockForward& block, const Limits& limits) {
  const Function function(block);
  const int threads = threads_for(limits, block.shape.macs());
  return kernel(fmt::format("packed filter, direct ({})", isa()), block, function, threads, function.workspace_floats(threads));
}

}  // namespace

bool Conv2dBlocks::suits(const Conv2dBlockForward& block) const {
  return !eigen::depthwise_suits(block.shape) && (!block.pool || is_small(block.shape));
}
bool Conv2dBlocks::suits(const Conv2dBlockBackward& block) const {
  return !eigen::depthwise_suits(block.shape) && (!block.pool || is_small(block.shape));
}

KernelPtr Conv2dBlocks::make(const Conv2dBlockForward& block, const Limits& limits) const {
  return block.pool ? forward_kernel<Pooled>(block, limits) : forward_kernel<Unpooled>(block, limits);
}
KernelPtr Conv2dBlocks::make(const Conv2dBlockBackward& block, const Limits& limits) const { return make_gradients(block, limits); }

}  // namespace fovea::openmp
