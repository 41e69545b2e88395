// Batch normalisation per channel, with the statistics of the batch or with given ones.
#include <cmath>

#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"

namespace fovea::reference {
namespace {

// One channel of a (rows, c) tensor.
template <class T>
struct Channel {
  const T* data;
  int64_t c, channel;
  double operator[](int64_t row) const { return static_cast<double>(data[row * c + channel]); }
};
template <class T>
Channel<T> channel_of(const Tensor& tensor, int64_t c, int64_t channel) {
  return {tensor.as<T>().data(), c, channel};
}
template <class T>
double element(const Tensor& tensor, int64_t i) {
  return static_cast<double>(tensor.as<T>()[static_cast<size_t>(i)]);
}

struct Statistics {
  double mean = 0, variance = 0;
};
template <class T>
Statistics statistics(const Channel<T>& x, int64_t rows) {
  Statistics result;
  for (int64_t row = 0; row < rows; ++row) result.mean += x[row];
  result.mean /= static_cast<double>(rows);
  for (int64_t row = 0; row < rows; ++row) result.variance += (x[row] - result.mean) * (x[row] - result.mean);
  result.variance /= static_cast<double>(rows);
  return result;
}

template <class Op>
double inverse_deviation(const Op& op, double variance) {
  return 1 / std::sqrt(variance + static_cast<double>(op.epsilon));
}

template <class T, class Op>
void normalise(const Op& op, const Buffers& buffers, int64_t c, const Statistics& with) {
  const auto x = channel_of<T>(buffers.in[0], op.c, c);
  const double scale = element<T>(buffers.in[1], c) * inverse_deviation(op, with.variance), shift = element<T>(buffers.in[2], c);
  T* y = buffers.out[0].as<T>().data();
  for (int64_t row = 0; row < op.rows; ++row) y[row * op.c + c] = static_cast<T>((x[row] - with.mean) * scale + shift);
}

template <class T>
void batch_norm_forward(const BatchNormForward& op, const Buffers& buffers, void*) {
  for (int64_t c = 0; c < op.c; ++c) {
    const Statistics of_batch = statistics(channel_of<T>(buffers.in[0], op.c, c), op.rows);
    buffers.out[1].as<T>()[static_cast<size_t>(c)] = static_cast<T>(of_batch.mean);
    buffers.out[2].as<T>()[static_cast<size_t>(c)] = static_cast<T>(of_batch.variance);
    normalise<T>(op, buffers, c, {element<T>(buffers.out[1], c), element<T>(buffers.out[2], c)});  // as batch_norm_inference with them
  }
}

template <class T>
void batch_norm_inference(const BatchNormInference& op, const Buffers& buffers, void*) {
  for (int64_t c = 0; c < op.c; ++c) normalise<T>(op, buffers, c, {element<T>(buffers.in[3], c), element<T>(buffers.in[4], c)});
}

template <class T>
void batch_norm_backward(const BatchNormBackward& op, const Buffers& buffers, void*) {
  T* dx = buffers.out[0].as<T>().data();
  for (int64_t c = 0; c < op.c; ++c) {
    const auto x = channel_of<T>(buffers.in[0], op.c, c), dy = channel_of<T>(buffers.in[1], op.c, c);
    const double mean = element<T>(buffers.in[3], c), inverse = inverse_deviation(op, element<T>(buffers.in[4], c));
    double dscale = 0, dshift = 0;
    for (int64_t row = 0; row < op.rows; ++row) {
      dscale += dy[row] * (x[row] - mean) * inverse;
      dshift += dy[row];
    }
    const double factor = element<T>(buffers.in[2], c) * inverse, rows = static_cast<double>(op.rows);
    for (int64_t row = 0; row < op.rows; ++row) {
      const double normalised = (x[row] - mean) * inverse;
      store(dx[row * op.c + c], op.into, factor * (dy[row] - dshift / rows - normalised * dscale / rows));
    }
    store(buffers.out[1].as<T>()[static_cast<size_t>(c)], op.into_scale, dscale);
    store(buffers.out[2].as<T>()[static_cast<size_t>(c)], op.into_shift, dshift);
  }
}

}  // namespace

template <>
KernelPtr Kernels::make(const BatchNormForward& op, const Limits&) {
  return loops(op, op.types, batch_norm_forward<float>, batch_norm_forward<double>);
}
template <>
KernelPtr Kernels::make(const BatchNormInference& op, const Limits&) {
  return loops(op, op.types, batch_norm_inference<float>, batch_norm_inference<double>);
}
template <>
KernelPtr Kernels::make(const BatchNormBackward& op, const Limits&) {
  return loops(op, op.types, batch_norm_backward<float>, batch_norm_backward<double>);
}

}  // namespace fovea::reference
