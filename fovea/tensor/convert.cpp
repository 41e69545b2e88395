#include "fovea/tensor/convert.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "fovea/base/error.h"
#include "fovea/tensor/small_float.h"

namespace fovea {
namespace {

template <class Visit>
void with_type(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::f32:
      return visit(float());
    case DType::f64:
      return visit(double());
    case DType::bf16:
      return visit(BFloat16());
    case DType::fp16:
      return visit(Float16());
    case DType::u8:
    case DType::u16:
    case DType::i32:
    case DType::byte:
      break;
  }
  throw Error(ExitCode::internal, "a tensor of " + std::string(name_of(dtype)) + " is none of floating-point numbers");
}

}  // namespace

void widen(const Tensor& from, std::span<double> to) {
  with_type(from.dtype, [&]<class T>(T) {
    const std::span<const T> values = from.as<T>();
    std::transform(values.begin(), values.end(), to.begin(), [](const T& value) { return static_cast<double>(value); });
  });
}

void narrow(std::span<const double> from, const Tensor& to) {
  with_type(to.dtype, [&]<class T>(T) {
    std::transform(from.begin(), from.end(), to.as<T>().begin(), [](double value) { return static_cast<T>(value); });
  });
}

void convert(const Tensor& from, const Tensor& to) {
  with_type(from.dtype, [&]<class From>(From) {
    with_type(to.dtype, [&]<class To>(To) {
      const std::span<const From> values = from.as<From>();
      std::transform(values.begin(), values.end(), to.as<To>().begin(),
                     [](const From& value) { return static_cast<To>(static_cast<double>(value)); });
    });
  });
}

std::vector<std::byte> converted(std::span<const std::byte> from, DType from_dtype, DType to_dtype) {
  const int64_t elements = static_cast<int64_t>(from.size() / bytes_of(from_dtype));
  std::vector<std::byte> copy(from.begin(), from.end()), to(static_cast<size_t>(elements) * bytes_of(to_dtype));
  if (elements > 0) convert({copy.data(), from_dtype, {elements}}, {to.data(), to_dtype, {elements}});
  return to;
}

}  // namespace fovea
