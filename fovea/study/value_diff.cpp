#include "fovea/study/value_diff.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "fovea/tensor/convert.h"

namespace fovea::study {
namespace {

template <class T>
std::vector<T> as(Bytes bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// Neighbouring floats are neighbouring numbers, with 0 at both zeros.
int64_t ordered(float value) {
  const int32_t bits = std::bit_cast<int32_t>(value);
  return bits < 0 ? int64_t{std::numeric_limits<int32_t>::min()} - bits : bits;
}

std::vector<int64_t> place_of(int64_t element, const Shape& shape) {
  std::vector<int64_t> place(static_cast<size_t>(shape.rank()));
  for (size_t axis = place.size(); axis-- > 0;) {
    place[axis] = element % shape[static_cast<int>(axis)];
    element /= shape[static_cast<int>(axis)];
  }
  return place;
}

double share_of(double difference, double allowed) {
  if (difference == 0) return 0;
  return allowed > 0 && std::isfinite(difference) ? difference / allowed : std::numeric_limits<double>::infinity();
}

struct Pair {
  double a, b, allowed;
};

enum class Rank : uint8_t { worst_so_far, not_worst };

Rank note(ValueDiff& diff, int64_t element, const Pair& pair) {
  ++diff.different;
  const double difference = std::abs(pair.a - pair.b), share = share_of(difference, pair.allowed);
  if (diff.different > 1 && share <= diff.worst.of_tolerance) return Rank::not_worst;
  const double size = std::max(std::abs(pair.a), std::abs(pair.b));
  diff.worst = {place_of(element, diff.shape), pair.a, pair.b, difference, size > 0 ? difference / size : 0, 0, share};
  return Rank::worst_so_far;
}

template <class T>
void note_whole_numbers(ValueDiff& diff, Bytes a, Bytes b) {
  const std::vector<T> of_a = as<T>(a), of_b = as<T>(b);
  for (size_t i = 0; i < of_a.size(); ++i)
    if (of_a[i] != of_b[i]) note(diff, static_cast<int64_t>(i), {static_cast<double>(of_a[i]), static_cast<double>(of_b[i]), 0});
}

}  // namespace

std::string ValueDiff::text() const {
  if (different == 0) return "same bits";
  const std::string ulps = worst.ulps > 0 ? fmt::format(", {} ULP", worst.ulps) : "";
  return fmt::format("{:.2g} of the tolerance at ({}): {:.9g} and {:.9g}, absolute {:.2g}, relative {:.2g}{}; {} of {} differ",
                     worst.of_tolerance, fmt::join(worst.at, ", "), worst.a, worst.b, worst.absolute, worst.relative, ulps, different,
                     shape.elements());
}

std::vector<float> floats_of(Bytes bytes, DType dtype) { return as<float>(converted(bytes, dtype, DType::f32)); }

ValueDiff compare(std::string name, const graph::Type& type, Bytes a, Bytes b, std::span<const double> allowed) {
  ValueDiff diff{std::move(name), type.shape, 0, {}};
  const std::vector<float> of_a = floats_of(a, type.dtype), of_b = floats_of(b, type.dtype);
  for (size_t i = 0; i < of_a.size(); ++i) {
    if (std::bit_cast<uint32_t>(of_a[i]) == std::bit_cast<uint32_t>(of_b[i]) || (std::isnan(of_a[i]) && std::isnan(of_b[i]))) continue;
    const Pair pair = {static_cast<double>(of_a[i]), static_cast<double>(of_b[i]), allowed[i]};
    if (note(diff, static_cast<int64_t>(i), pair) == Rank::worst_so_far && type.dtype == DType::f32)
      diff.worst.ulps = std::abs(ordered(of_a[i]) - ordered(of_b[i]));
  }
  return diff;
}

ValueDiff compare_exactly(std::string name, const graph::Type& type, Bytes a, Bytes b) {
  ValueDiff diff{std::move(name), type.shape, 0, {}};
  if (type.dtype == DType::u8 || type.dtype == DType::byte) note_whole_numbers<uint8_t>(diff, a, b);
  if (type.dtype == DType::u16) note_whole_numbers<uint16_t>(diff, a, b);
  if (type.dtype == DType::i32) note_whole_numbers<int32_t>(diff, a, b);
  return diff;
}

ValueDiff compare_metrics(std::string name, Bytes a, Bytes b, double relative) {
  ValueDiff diff{std::move(name), {4}, 0, {}};
  const Metrics of_a = as<Metrics>(a)[0], of_b = as<Metrics>(b)[0];
  if (of_a.loss_sum != of_b.loss_sum) note(diff, 0, {of_a.loss_sum, of_b.loss_sum, relative * (1 + std::abs(of_a.loss_sum))});
  const std::array<uint64_t Metrics::*, 3> counts = {&Metrics::counted, &Metrics::correct, &Metrics::non_finite};
  for (size_t i = 0; i < counts.size(); ++i)
    if (of_a.*counts[i] != of_b.*counts[i])
      note(diff, static_cast<int64_t>(i) + 1, {static_cast<double>(of_a.*counts[i]), static_cast<double>(of_b.*counts[i]), 0});
  return diff;
}

}  // namespace fovea::study
