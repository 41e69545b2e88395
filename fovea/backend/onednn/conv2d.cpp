// Convolutions: the filter is packed once per step, then each task is a primitive over some images.
#include "fovea/backend/onednn/conv2d.h"
#include "fovea/backend/onednn/backend.h"
#include "fovea/backend/onednn/filter.h"
#include "fovea/backend/onednn/parts.h"
#include "fovea/backend/onednn/values.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"

namespace fovea::onednn {
namespace {

using openmp::parallel_for;

// Where the window is larger than the image, or padding as large as the window, oneDNN 2.6 has given gradients of filters in bf16 that are
// not numbers.
bool is_usual(const Conv2dShape& shape) {
  const Window& window = shape.window;
  return shape.groups == 1 && window.r <= shape.h && window.s <= shape.w && std::max(window.pad_top, window.pad_bottom) < window.r &&
         std::max(window.pad_left, window.pad_right) < window.s;
}

bool is_in_bf16(const Types& types) { return types.x == DType::bf16 && types.y == DType::bf16 && types.accumulator == DType::f32; }

// In float few images give few tasks, and few channels fill no vectors: there the parent's blocks are faster.
bool suits_forward(const Conv2dShape& shape, const Types& types) {
  constexpr int64_t least_images = 16, least_channels = 16;
  return is_usual(shape) && (is_in_bf16(types) || (types == Types{} && shape.n >= least_images && shape.c >= least_channels));
}

// In float the parent's gradients are faster (docs/performance.md).
bool suits_backward(const Conv2dShape& shape, const Types& types) { return is_usual(shape) && is_in_bf16(types); }

// Parts of a workspace, one after the other.
class Carve {
 public:
  explicit Carve(void* workspace) : next_(static_cast<std::byte*>(workspace)) {}
  void* take(size_t bytes) {
    std::byte* part = next_;
    next_ += Primitive::aligned(bytes);
    return part;
  }

 private:
  std::byte* next_;
};

class ConvolutionKernel : public Kernel {
 public:
  ConvolutionKernel(const Conv2dShape& shape, DType dtype, Primitive primitive, const Limits& limits)
      : Kernel("onednn"),
        shape_(shape),
        dtype_(dtype),
        primitive_(std::move(primitive)),
        threads_(openmp::threads_for(limits, shape.macs())) {}
  std::string algorithm() const override { return primitive_.name(); }
  int threads() const override { return threads_; }

 protected:
  const Conv2dShape shape_;
  const DType dtype_;
  const Primitive primitive_;
  const int threads_;
};

// From what to what, as oneDNN numbers arguments.
struct Sides {
  int from, to;
  Into into = Into::overwrite;
  WithBias with_bias = WithBias::no;
  eigen::Rectify rectify = eigen::Rectify::no;
};

// Forward, or the gradient of the data: from (x or dy) and the filter, perhaps a bias, to (y or dx), perhaps rectified.
class Product final : public ConvolutionKernel {
 public:
  Product(const Conv2dShape& shape, DType dtype, Primitive primitive, const Sides& sides, const Limits& limits)
      : ConvolutionKernel(shape, dtype, std::move(primitive), limits),
        tasks_(shape.n / images_of_a_task(shape)),
        sides_(sides),
        filter_(shape, dtype, primitive_.desc(DNNL_ARG_WEIGHTS), Direction::pack) {}

  size_t workspace_bytes() const override {
    const size_t own = primitive_.scratch_bytes() + (sides_.into == Into::add ? Primitive::aligned(primitive_.bytes(sides_.to)) : 0);
    return Primitive::aligned(primitive_.bytes(DNNL_ARG_WEIGHTS)) + filter_.scratch_bytes() + static_cast<size_t>(threads_) * own;
  }

  void bind(Buffers buffers, void* workspace) override {
    Carve carve(workspace);
    void* packed = carve.take(primitive_.bytes(DNNL_ARG_WEIGHTS));
    filter_.bind(buffers.in[1].data, packed, carve.take(filter_.scratch_bytes()));
    packed_ = Pieces(primitive_.desc(DNNL_ARG_WEIGHTS), packed);
    scratch_ = Pieces(primitive_.scratch_desc(), carve.take(static_cast<size_t>(threads_) * primitive_.scratch_bytes()), threads_,
                      primitive_.scratch_bytes());
    if (sides_.with_bias == WithBias::yes) bias_ = Pieces(primitive_.desc(DNNL_ARG_BIAS), buffers.in[2].data);
    from_ = Pieces(primitive_.desc(sides_.from), buffers.in[0].data, tasks_);
    to_data_ = buffers.out[0].data;
    const size_t step = Primitive::aligned(primitive_.bytes(sides_.to));
    added_ = sides_.into == Into::add ? static_cast<std::byte*>(carve.take(static_cast<size_t>(threads_) * step)) : nullptr;
    to_ = added_ == nullptr ? Pieces(primitive_.desc(sides_.to), to_data_, tasks_)
                            : Pieces(primitive_.desc(sides_.to), added_, threads_, step);
  }

  void run(Stream&) override {
    parallel_for(threads_, filter_.tasks(), [&](int64_t task) { filter_.run(task); });
    const size_t step = Primitive::aligned(primitive_.bytes(sides_.to));
    const int64_t elements = shape_.x().elements() / tasks_;  // of what is added
    parallel_for(threads_, tasks_, [&](int64_t task, int worker) {
      const dnnl_memory_t to = to_.at(added_ == nullptr ? task : worker), scratch = scratch_.at(worker);
      if (sides_.with_bias == WithBias::yes)
        primitive_.run({{sides_.from, from_.at(task)},
                        {DNNL_ARG_WEIGHTS, packed_.at(0)},
                        {DNNL_ARG_BIAS, bias_.at(0)},
                        {sides_.to, to},
                        {DNNL_ARG_SCRATCHPAD, scratch}});
      else
        primitive_.run({{sides_.from, from_.at(task)}, {DNNL_ARG_WEIGHTS, packed_.at(0)}, {sides_.to, to}, {DNNL_ARG_SCRATCHPAD, scratch}});
      if (sides_.rectify == eigen::Rectify::yes) rectify({to_data_, dtype_, {tasks_, shape_.y().elements() / tasks_}}, task);
      if (added_ != nullptr)
        add(elements, reinterpret_cast<const float*>(added_ + static_cast<size_t>(worker) * step),
            static_cast<uint16_t*>(to_data_) + task * elements);
    });
  }

 private:
  const int64_t tasks_;
  const Sides sides_;
  FilterReorder filter_;
  Pieces packed_, bias_, scratch_, from_, to_;
  void* to_data_ = nullptr;
  std::byte* added_ = nullptr;  // where each thread has what it adds
};

// dw in parts of images and of filters, then the sums of the images' parts, then in the layout that is wished.
class FilterGradient final : public ConvolutionKernel {
 public:
  FilterGradient(const Conv2dBackwardFilter& op, DType dtype, Primitive primitive, const Limits& limits)
      : ConvolutionKernel(op.shape, dtype, std::move(primitive), limits),
        parts_(op.shape),
        slice_floats_(static_cast<int64_t>(primitive_.bytes(DNNL_ARG_DIFF_WEIGHTS) / sizeof(float))),
        dy_bytes_(Primitive::aligned(primitive_.bytes(DNNL_ARG_DIFF_DST))) {
    Conv2dShape slice = op.shape;
    slice.k /= parts_.filters;
    unpack_.assign(static_cast<size_t>(parts_.filters),
                   FilterReorder(slice, DType::f32, primitive_.desc(DNNL_ARG_DIFF_WEIGHTS), Direction::unpack, op.into));
  }

  size_t workspace_bytes() const override {
    const size_t of_parts =
        Primitive::aligned(primitive_.bytes(DNNL_ARG_DIFF_WEIGHTS)) * static_cast<size_t>(parts_.images * parts_.filters);
    return of_parts + static_cast<size_t>(parts_.filters) * unpack_[0].scratch_bytes() +
           static_cast<size_t>(threads_) * (primitive_.scratch_bytes() + (parts_.filters > 1 ? dy_bytes_ : 0));
  }

  void bind(Buffers buffers, void* workspace) override {
    Carve carve(workspace);
    const size_t step = Primitive::aligned(primitive_.bytes(DNNL_ARG_DIFF_WEIGHTS));
    sums_ = static_cast<float*>(carve.take(step * static_cast<size_t>(parts_.images * parts_.filters)));
    dw_ = Pieces(primitive_.desc(DNNL_ARG_DIFF_WEIGHTS), sums_, parts_.images * parts_.filters, step);
    float* outside = static_cast<float*>(buffers.out[0].data);
    for (int64_t i = 0; i < parts_.filters; ++i) {
      FilterReorder& reorder = unpack_[static_cast<size_t>(i)];
      reorder.bind(sums_of(i, 0), outside + i * (shape_.filter().elements() / parts_.filters), carve.take(reorder.scratch_bytes()));
    }
    scratch_ = Pieces(primitive_.scratch_desc(), carve.take(static_cast<size_t>(threads_) * primitive_.scratch_bytes()), threads_,
                      primitive_.scratch_bytes());
    x_ = Pieces(primitive_.desc(DNNL_ARG_SRC), buffers.in[0].data, parts_.images);
    all_dy_ = static_cast<const std::byte*>(buffers.in[1].data);
    if (parts_.filters > 1) {
      some_dy_ = static_cast<std::byte*>(carve.take(static_cast<size_t>(threads_) * dy_bytes_));
      dy_ = Pieces(primitive_.desc(DNNL_ARG_DIFF_DST), some_dy_, threads_, dy_bytes_);
    } else {
      dy_ = Pieces(primitive_.desc(DNNL_ARG_DIFF_DST), buffers.in[1].data, parts_.images);
    }
  }

  void run(Stream&) override {
    parallel_for(threads_, parts_.images * parts_.filters, [&](int64_t task, int worker) {
      const int64_t filters = task / parts_.images, images = task % parts_.images;
      if (parts_.filters > 1) gather(filters, images, some_dy_ + static_cast<size_t>(worker) * dy_bytes_);
      primitive_.run({{DNNL_ARG_SRC, x_.at(images)},
                      {DNNL_ARG_DIFF_DST, dy_.at(parts_.filters > 1 ? worker : images)},
                      {DNNL_ARG_DIFF_WEIGHTS, dw_.at(task)},
                      {DNNL_ARG_SCRATCHPAD, scratch_.at(worker)}});
    });
    constexpr int64_t block = 4096;
    const int64_t blocks = (slice_floats_ + block - 1) / block;
    if (parts_.images > 1)
      parallel_for(threads_, parts_.filters * blocks, [&](int64_t task) {
        const int64_t first = task % blocks * block;
        add_parts(std::min(block, slice_floats_ - first), parts_.images, sums_of(0, 1) - sums_of(0, 0), sums_of(task / blocks, 0) + first);
      });
    const int64_t slices = unpack_[0].tasks();
    parallel_for(threads_, parts_.filters * slices, [&](int64_t task) { unpack_[static_cast<size_t>(task / slices)].run(task % slices); });
  }

 private:
  float* sums_of(int64_t filters, int64_t images) const {
    const size_t step = Primitive::aligned(primitive_.bytes(DNNL_ARG_DIFF_WEIGHTS)) / sizeof(float);
    return sums_ + (filters * parts_.images + images) * static_cast<int64_t>(step);
  }

  // The channels of dy that belong to some filters, side by side.
  void gather(int64_t filters, int64_t images, std::byte* to) const {
    const int64_t pixels = shape_.n / parts_.images * shape_.p() * shape_.q();
    const size_t pixel = static_cast<size_t>(shape_.k) * bytes_of(dtype_), some = pixel / static_cast<size_t>(parts_.filters);
    const std::byte* from = all_dy_ + static_cast<size_t>(images * pixels) * pixel + static_cast<size_t>(filters) * some;
    for (int64_t i = 0; i < pixels; ++i, from += pixel, to += some) std::copy_n(from, some, to);
  }

  const FilterParts parts_;
  const int64_t slice_floats_;
  const size_t dy_bytes_;
  std::vector<FilterReorder> unpack_;
  float* sums_ = nullptr;
  Pieces x_, dy_, dw_, scratch_;
  const std::byte* all_dy_ = nullptr;
  std::byte* some_dy_ = nullptr;
};

KernelPtr product(const Conv2dShape& shape, DType dtype, std::optional<Primitive> primitive, const Sides& sides, const Limits& limits) {
  if (!primitive) return nullptr;
  return std::make_unique<Product>(shape, dtype, std::move(*primitive), sides, limits);
}

}  // namespace

bool is_large(const Conv2dShape& shape, const Types& types) {
  constexpr int64_t least_macs = int64_t{1} << 20;  // of an image
  return suits_backward(shape, types) && shape.macs() / shape.n >= least_macs;
}

KernelPtr forward_kernel(const Conv2dForward& op, const Behind& behind, const Limits& limits) {
  if (!suits_forward(op.shape, op.types)) return nullptr;
  const Conv2dShape task = of_images(op.shape, images_of_a_task(op.shape));
  return product(op.shape, op.types.x, conv2d_forward(task, op.types, behind.with_bias),
                 {DNNL_ARG_SRC, DNNL_ARG_DST, Into::overwrite, behind.with_bias, behind.rectify}, limits);
}

KernelPtr data_kernel(const Conv2dBackwardData& op, const Limits& limits) {
  if (!suits_backward(op.shape, op.types)) return nullptr;
  const Conv2dShape task = of_images(op.shape, images_of_a_task(op.shape));
  Types types = op.types;
  if (op.into == Into::add) types.x = DType::f32;  // what is added is rounded with what is there, once
  return product(op.shape, op.types.x, conv2d_backward_data(task, types), {DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC, op.into}, limits);
}

KernelPtr filter_kernel(const Conv2dBackwardFilter& op, const Limits& limits) {
  if (!suits_backward(op.shape, op.types)) return nullptr;
  const FilterParts parts(op.shape);
  Conv2dShape task = of_images(op.shape, op.shape.n / parts.images);
  task.k /= parts.filters;
  std::optional<Primitive> primitive = conv2d_backward_filter(task, op.types);
  if (!primitive) return nullptr;
  return std::make_unique<FilterGradient>(op, op.types.x, std::move(*primitive), limits);
}

KernelPtr OnednnBackend::make(const Conv2dForward& op, const Limits& limits) {
  KernelPtr kernel = forward_kernel(op, {}, limits);
  return kernel ? std::move(kernel) : make_widened(op, limits);
}
KernelPtr OnednnBackend::make(const Conv2dBackwardData& op, const Limits& limits) {
  KernelPtr kernel = data_kernel(op, limits);
  return kernel ? std::move(kernel) : make_widened(op, limits);
}
KernelPtr OnednnBackend::make(const Conv2dBackwardFilter& op, const Limits& limits) {
  KernelPtr kernel = filter_kernel(op, limits);
  return kernel ? std::move(kernel) : make_widened(op, limits);
}

}  // namespace fovea::onednn
