#include "fovea/backend/onednn/filter.h"

namespace fovea::onednn {
namespace {

constexpr int64_t filters_of_a_slice = 64;  // every block of filters in a layout of oneDNN divides it

// Zeros that only fill a block cannot be cut off.
bool can_be_cut(const Conv2dShape& shape, DType dtype, const Desc& packed) {
  return shape.k % filters_of_a_slice == 0 && packed.get_size() == static_cast<size_t>(shape.filter().elements()) * bytes_of(dtype);
}

}  // namespace

FilterReorder::FilterReorder(const Conv2dShape& shape, DType dtype, const Desc& packed, Direction direction, Into into) {
  const Desc plain = filter_desc(shape, dtype);
  const int64_t filters = can_be_cut(shape, dtype, packed) ? filters_of_a_slice : shape.k;
  for (int64_t first = 0; first < shape.k; first += filters) {
    const dnnl::memory::dims size = {filters, shape.c, shape.window.r, shape.window.s}, offset = {first, 0, 0, 0};
    const Desc a = plain.submemory_desc(size, offset), b = packed.submemory_desc(size, offset);
    const Desc &from = direction == Direction::pack ? a : b, &to = direction == Direction::pack ? b : a;
    slices_.push_back({from, to, reorder(from, to, into), {}, {}, {}});
  }
}

size_t FilterReorder::scratch_bytes() const {
  size_t bytes = 0;
  for (const Slice& slice : slices_) bytes += slice.reorder.scratch_bytes();
  return bytes;
}

void FilterReorder::bind(void* from, void* to, void* scratch) {
  std::byte* next = static_cast<std::byte*>(scratch);
  for (Slice& slice : slices_) {
    slice.bound_from = dnnl::memory(slice.from, engine(), from);
    slice.bound_to = dnnl::memory(slice.to, engine(), to);
    slice.scratch = dnnl::memory(slice.reorder.scratch_desc(), engine(), next);
    next += slice.reorder.scratch_bytes();
  }
}

void FilterReorder::run(int64_t task) const {
  const Slice& slice = slices_[static_cast<size_t>(task)];
  slice.reorder.run(
      {{DNNL_ARG_FROM, slice.bound_from.get()}, {DNNL_ARG_TO, slice.bound_to.get()}, {DNNL_ARG_SCRATCHPAD, slice.scratch.get()}});
}

}  // namespace fovea::onednn
