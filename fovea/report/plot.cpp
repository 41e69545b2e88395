#include "fovea/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "fovea/report/columns.h"
#include "fovea/report/scale.h"
#include "fovea/report/svg.h"

namespace fovea::report {
namespace {

constexpr double curves_width = 480, bars_width = 400, least_height = 300, margin = 24, head = 56, foot = 56, small = 12, line_height = 16,
                 label_pitch = 36;
constexpr double bar_height = 20, bar_pitch = 26, group_head = 24, group_gap = 14;

Scale percent_scale(std::span<const Curve> curves, const Box& box) {
  double low = 100, high = 0;
  for (const Curve& curve : curves)
    for (const double accuracy : curve.accuracy) low = std::min(low, 100 * accuracy), high = std::max(high, 100 * accuracy);
  Scale scale;
  scale.step = nice_step(std::max(high - low, 0.5), 4);
  scale.low = std::max(0.0, std::floor(low / scale.step) * scale.step);
  scale.high = std::min(100.0, std::ceil(high / scale.step) * scale.step);
  if (scale.high <= scale.low) (scale.low > 0 ? scale.low : scale.high) += scale.low > 0 ? -scale.step : scale.step;
  scale.from = box.y + box.height;
  scale.to = box.y;
  return scale;
}

Scale epoch_scale(std::span<const Curve> curves, const Box& box) {
  size_t epochs = 1;
  for (const Curve& curve : curves) epochs = std::max(epochs, curve.accuracy.size());
  Scale scale;
  scale.low = epochs == 1 ? 0 : 1;
  scale.high = std::max(1.0, static_cast<double>(epochs));
  scale.step = std::max(1.0, nice_step(scale.high - scale.low, 6));
  scale.from = box.x;
  scale.to = box.x + box.width;
  return scale;
}

void draw_axes(Svg& svg, const Box& box, const Scale& x, const Scale& y) {
  const int decimals = y.step < 1 ? 1 : 0;
  for (int i = 0; y.low + i * y.step <= y.high + 1e-9; ++i) {
    const double value = y.low + i * y.step;
    svg.line({box.x, y.at(value)}, {box.x + box.width, y.at(value)}, Ink::grid);
    svg.text({box.x - 8, y.at(value) + 4}, fmt::format("{:.{}f} %", value, decimals), {Ink::faint, Anchor::end, small});
  }
  const double foot_line = box.y + box.height;
  for (double value = x.low; value <= x.high + 1e-9; value = value == 1 && x.step > 1 ? x.step : value + x.step)
    svg.text({x.at(value), foot_line + 18}, fmt::format("{:g}", value), {Ink::faint, Anchor::middle, small});
  svg.text({box.x + box.width / 2, foot_line + 36}, "epoch", {Ink::faint, Anchor::middle, small});
}

// Heights near the wanted ones, in the same order, at least `gap` apart and not below `lowest`.
std::vector<double> parted(std::vector<double> wanted, double gap, double lowest) {
  std::vector<size_t> order(wanted.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return wanted[a] < wanted[b]; });
  for (size_t i = 1; i < order.size(); ++i) wanted[order[i]] = std::max(wanted[order[i]], wanted[order[i - 1]] + gap);
  for (size_t i = order.size(); i-- > 0;) {
    wanted[order[i]] = std::min(wanted[order[i]], lowest);
    lowest = wanted[order[i]] - gap;
  }
  return wanted;
}

std::string last_value(const Curve& curve) { return fmt::format("{:.1f} % {}", 100 * curve.accuracy.back(), curve.images); }

double curves_height(std::span<const Curve> curves) {  // so that the labels have room
  return curves.empty() ? 0 : std::max(least_height, head + foot + label_pitch * static_cast<double>(curves.size()));
}

void draw_curves(Svg& svg, std::span<const Curve> curves, const Box& panel) {
  double label_width = 0;
  for (const Curve& curve : curves) label_width = std::max({label_width, text_width(curve.label, 13), text_width(last_value(curve), 13)});
  const Box box = {panel.x + 50, panel.y + head, panel.width - 50 - 14 - label_width, panel.height - head - foot};
  const Scale x = epoch_scale(curves, box), y = percent_scale(curves, box);
  svg.text({panel.x, panel.y + 24}, "Accuracy after each epoch", {Ink::strong, Anchor::start, 15});
  draw_axes(svg, box, x, y);
  std::vector<double> heights;
  for (const Curve& curve : curves) heights.push_back(y.at(100 * curve.accuracy.back()));
  heights = parted(heights, label_pitch, box.y + box.height - line_height / 2);
  for (size_t i = 0; i < curves.size(); ++i) {
    const Ink ink = series_ink(i);
    std::vector<Point> points;
    for (size_t epoch = 0; epoch < curves[i].accuracy.size(); ++epoch)
      points.push_back({x.at(static_cast<double>(epoch + 1)), y.at(100 * curves[i].accuracy[epoch])});
    svg.path(points, ink);
    if (points.size() <= 30)
      for (const Point& point : points) svg.dot(point, 3, ink);
    svg.text({box.x + box.width + 12, heights[i] - 2}, curves[i].label, {ink, Anchor::start, 13});
    svg.text({box.x + box.width + 12, heights[i] + line_height - 2}, last_value(curves[i]), {Ink::plain, Anchor::start, 13});
  }
}

double bars_height(std::span<const BarGroup> groups) {
  double height = head - group_gap;
  for (const BarGroup& group : groups) height += group_gap + group_head + bar_pitch * static_cast<double>(group.bars.size());
  return height;
}

void draw_bars(Svg& svg, std::span<const BarGroup> groups, const Box& panel) {
  std::map<std::string, size_t> series;  // the same label has the same colour in every group
  double label_width = 0, value_width = 0;
  for (const BarGroup& group : groups)
    for (const Bar& bar : group.bars) {
      series.try_emplace(bar.label, series.size());
      label_width = std::max(label_width, text_width(bar.label, 13));
      value_width = std::max(value_width, text_width(grouped(bar.images_per_second, 0), 13));
    }
  const double left = panel.x + label_width + 10, room = panel.width - label_width - value_width - 20;
  svg.text({panel.x, panel.y + 24}, "Training speed, images per second", {Ink::strong, Anchor::start, 15});
  double y = panel.y + head - 8;
  for (const BarGroup& group : groups) {
    double longest = 0;
    for (const Bar& bar : group.bars) longest = std::max(longest, bar.images_per_second);
    svg.text({panel.x, y + 12}, group.title, {Ink::faint, Anchor::start, small});
    y += group_head;
    for (const Bar& bar : group.bars) {
      const double width = std::max(1.0, room * bar.images_per_second / longest);
      svg.text({left - 10, y + 15}, bar.label, {Ink::plain, Anchor::end, 13});
      svg.bar({left, y, width, bar_height}, series_ink(series.at(bar.label)));
      svg.text({left + width + 8, y + 15}, grouped(bar.images_per_second, 0), {Ink::plain, Anchor::start, 13});
      y += bar_pitch;
    }
    y += group_gap;
  }
}

}  // namespace

std::string plot(std::span<const Curve> curves, std::span<const BarGroup> groups, std::string_view origin) {
  Svg svg;
  const double height = std::max(curves_height(curves), bars_height(groups) + 8);
  double left = margin;
  if (!curves.empty()) {
    draw_curves(svg, curves, {left, margin / 2, curves_width, height});
    left += curves_width + 2 * margin;
  }
  if (!groups.empty()) {
    draw_bars(svg, groups, {left, margin / 2, bars_width, height});
    left += bars_width + 2 * margin;
  }
  const double whole_height = height + margin + (origin.empty() ? 0 : line_height);
  if (!origin.empty()) svg.text({margin, whole_height - 14}, origin, {Ink::faint, Anchor::start, 11});
  return svg.picture(left - margin, whole_height, "Accuracy after each epoch and training speed");
}

}  // namespace fovea::report
