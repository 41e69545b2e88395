// A typed view of memory that somebody else owns, dense and row-major.
#pragma once

#include <cassert>
#include <span>

#include "fovea/tensor/dtype.h"
#include "fovea/tensor/shape.h"

namespace fovea {

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  size_t bytes() const { return static_cast<size_t>(shape.elements()) * bytes_of(dtype); }

  template <class T>
  std::span<T> as() const {  // host memory only
    assert(dtype == dtype_of<T>());
    return {static_cast<T*>(data), static_cast<size_t>(shape.elements())};
  }
  template <class T>
  T& as_struct() const {  // of a `byte` tensor
    assert(dtype == DType::byte && bytes() == sizeof(T));
    return *static_cast<T*>(data);
  }
};

}  // namespace fovea
