// oneDNN of version 2 or 3, on one thread: a primitive computes the part of a step that one task is, and the threads of `openmp` share out
// the tasks. So what is summed in which order depends on the shape alone, and nobody else starts threads.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include <dnnl.hpp>

#include "fovea/backend/backend.h"

namespace fovea::onednn {

using Desc = dnnl::memory::desc;

std::string library_version();
const dnnl::engine& engine();

// While it lives, what oneDNN makes or runs in this thread stays in this thread.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

// Memory of somebody else as oneDNN sees it: `count` pieces, one behind the other.
class Pieces {
 public:
  Pieces() = default;
  Pieces(const Desc& desc, void* first, int64_t count = 1);
  Pieces(const Desc& desc, void* first, int64_t count, size_t step_bytes);
  dnnl_memory_t at(int64_t i) const { return memories_[static_cast<size_t>(i)].get(); }

 private:
  std::vector<dnnl::memory> memories_;
};

class Primitive {
 public:
  template <class Description, class Made>
  Primitive(const Description& description, const Made& made) : description_(description), made_(made) {}

  Desc desc(int argument) const { return description_.query_md(dnnl::query::exec_arg_md, argument); }
  size_t bytes(int argument) const { return desc(argument).get_size(); }
  size_t scratch_bytes() const { return aligned(description_.scratchpad_desc().get_size()); }
  Desc scratch_desc() const { return description_.scratchpad_desc(); }
  std::string name() const { return description_.impl_info_str(); }
  bool is_generated() const;  // machine code made for this problem, not loops in C++ or a lowered matrix product
  void run(std::initializer_list<dnnl_exec_arg_t> arguments) const;

  static size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

 private:
  dnnl::primitive_desc_base description_;
  dnnl::primitive made_;
};

enum class WithBias : uint8_t { no, yes };

// Of these images; their filter lies as the primitive wishes. Types are those of the values or of their gradients. Nothing where oneDNN has
// none that is generated.
std::optional<Primitive> conv2d_forward(const Conv2dShape& shape, const Types& types, WithBias with_bias);
std::optional<Primitive> conv2d_backward_data(const Conv2dShape& shape, const Types& types);
std::optional<Primitive> conv2d_backward_filter(const Conv2dShape& shape, const Types& types);

Primitive reorder(const Desc& from, const Desc& to, Into into);
Desc filter_desc(const Conv2dShape& shape, DType dtype);  // (k, r, s, c), as it is outside

}  // namespace fovea::onednn
