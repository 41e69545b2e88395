#include "fovea/report/scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fovea/report/columns.h"

namespace fovea::report {

double nice_step(double length, int parts) {
  const double least = length / parts;
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

Axis::Axis(Growth growth, double low, double high, int parts) : growth_(growth) {
  if (growth == Growth::doubling) {
    scale_.low = std::floor(std::log2(low) + 1e-9);
    scale_.high = std::max(std::ceil(std::log2(high) - 1e-9), scale_.low + 1);
    scale_.step = std::ceil((scale_.high - scale_.low) / parts);
    scale_.high = scale_.low + scale_.step * std::ceil((scale_.high - scale_.low) / scale_.step);
    return;
  }
  if (!(high > low)) high = low + std::max(1e-9, std::abs(low) * 0.01);
  scale_.step = nice_step(high - low, parts);
  scale_.low = std::floor(low / scale_.step + 1e-9) * scale_.step;
  scale_.high = std::ceil(high / scale_.step - 1e-9) * scale_.step;
}

Axis Axis::between(Growth growth, double low, double high) {
  Axis axis(growth, low, high, 1);
  if (!(high > low)) return axis;
  axis.scale_.low = growth == Growth::doubling ? std::log2(low) : low;
  axis.scale_.high = growth == Growth::doubling ? std::log2(high) : high;
  axis.scale_.step = axis.scale_.high - axis.scale_.low;
  return axis;
}

double Axis::at(double value) const { return scale_.at(growth_ == Growth::doubling ? std::log2(value) : value); }
double Axis::low() const { return growth_ == Growth::doubling ? std::exp2(scale_.low) : scale_.low; }
double Axis::high() const { return growth_ == Growth::doubling ? std::exp2(scale_.high) : scale_.high; }

std::vector<double> Axis::marks() const {
  std::vector<double> marks;
  for (int i = 0; scale_.low + i * scale_.step <= scale_.high + scale_.step * 1e-6; ++i) {
    const double place = scale_.low + i * scale_.step;
    marks.push_back(growth_ == Growth::doubling ? std::exp2(place) : (std::abs(place) < scale_.step * 1e-6 ? 0 : place));
  }
  return marks;
}

std::string Axis::text(double mark) const {
  if (growth_ == Growth::doubling) return mark < 1 ? fmt::format("1/{:g}", 1 / mark) : grouped(mark, 0);
  const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(scale_.step) + 1e-9)));
  return decimals > 6 ? fmt::format("{:g}", mark) : grouped(mark, decimals);
}

}  // namespace fovea::report
