// A way of writing is chosen, bent by a smooth random field, slanted, fitted into 20 x 20, and inked by distance to the pen's path.
// Only additions, products, divisions and square roots, none contracted: the same bits on every machine.
#include "fovea/data/digits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "fovea/base/philox.h"
#include "fovea/base/thread.h"
#include "fovea/data/glyphs.h"

namespace fovea::data {
namespace {

constexpr int side = digit_side;

class Random {
 public:
  explicit Random(const DigitKey& key) : key_(key) {}

  uint32_t bits() {
    if (used_ == 4) {
      four_ = philox(key_.seed, Draw::digits, key_.id, static_cast<uint32_t>(key_.part), block_++);
      used_ = 0;
    }
    return four_.v[used_++];
  }
  float between(float low, float high) { return low + (high - low) * to_unit(bits()); }
  float normal(float deviation) {  // nearly: four uniform numbers added, so within 3.5 deviations
    float sum = 0;
    for (int i = 0; i < 4; ++i) sum += to_unit(bits());
    return (sum - 2.0f) * 1.7320508f * deviation;
  }

 private:
  DigitKey key_;
  uint32_t block_ = 0, used_ = 4;
  Random4 four_{};
};

// Random displacements on a lattice over the unit square, between them quadratic B-splines.
class Warp {
 public:
  Warp(Random& random, float strength) {
    for (Point& node : nodes_) node = {random.normal(strength), random.normal(strength)};
  }
  Point operator()(Point p) const {
    const auto [column, across] = weights(p.x);
    const auto [row, down] = weights(p.y);
    for (size_t j = 0; j < 3; ++j) {
      for (size_t i = 0; i < 3; ++i) {
        const Point node = nodes_[(row + j) * size + column + i];
        p.x += down[j] * across[i] * node.x;
        p.y += down[j] * across[i] * node.y;
      }
    }
    return p;
  }

 private:
  static constexpr size_t cells = 4, size = cells + 2;

  static std::pair<size_t, std::array<float, 3>> weights(float at) {
    const float scaled = std::clamp(at, 0.0f, 0.999f) * cells;
    const size_t cell = static_cast<size_t>(scaled);
    const float t = scaled - static_cast<float>(cell);
    return {cell, {0.5f * (1 - t) * (1 - t), 0.5f + t * (1 - t), 0.5f * t * t}};
  }

  std::array<Point, size * size> nodes_;
};

struct Box {
  float left = 1e9f, top = 1e9f, right = -1e9f, bottom = -1e9f;
  void add(Point p) {
    left = std::min(left, p.x);
    right = std::max(right, p.x);
    top = std::min(top, p.y);
    bottom = std::max(bottom, p.y);
  }
};

// The pen starts late or early: up to `most` pieces of the polyline are left out at either end.
std::span<const Point> trimmed(const Stroke& stroke, Random& random, float most) {
  const size_t first = static_cast<size_t>(random.between(0, most)), last = static_cast<size_t>(random.between(0, most));
  const std::span<const Point> all = stroke;
  return all.size() > first + last + 3 ? all.subspan(first, all.size() - first - last) : all;
}

std::vector<Stroke> bend(const Glyph& glyph, Random& random) {
  const float haste = random.between(0, 1);
  const Warp warp(random, 0.06f + 0.06f * haste * haste);
  const float tangent_of_half = random.normal(0.07f), slant = 0.12f + random.normal(0.22f), stretch = 1 + random.normal(0.16f);
  const float scale = 1 / (1 + tangent_of_half * tangent_of_half);
  const float cosine = (1 - tangent_of_half * tangent_of_half) * scale, sine = 2 * tangent_of_half * scale;
  std::vector<Stroke> strokes;
  for (const Stroke& stroke : glyph.strokes) {
    Stroke& bent = strokes.emplace_back();
    for (const Point given : trimmed(stroke, random, 2 + 2.5f * haste)) {
      const Point p = warp(given);
      const float x = (p.x - 0.33f) * stretch - (p.y - 0.5f) * slant, y = p.y - 0.5f;
      bent.push_back({cosine * x - sine * y, sine * x + cosine * y});
    }
  }
  return strokes;
}

// As MNIST does it: the longer side of the box becomes 20 pixels, the middle of the ink comes to the middle of the image (here about so,
// and never so far that ink is cut off).
void place(std::vector<Stroke>& strokes, Random& random, float radius) {
  Box box;
  Point middle{0, 0};
  float count = 0;
  for (const Stroke& stroke : strokes) {
    for (const Point p : stroke) {
      box.add(p);
      middle = {middle.x + p.x, middle.y + p.y};
      ++count;
    }
  }
  const float longer = std::max(box.right - box.left, box.bottom - box.top);
  const float scale = (20 + random.normal(0.7f) - 2 * radius) / longer, centre = (side - 1) / 2.0f;
  const auto shift_of = [&](float low, float high, float mean) {
    const float least = 2 + radius - scale * low, most = side - 3 - radius - scale * high;
    return std::max(least, std::min(most, centre - scale * mean + random.normal(0.8f)));
  };
  const float shift_x = shift_of(box.left, box.right, middle.x / count), shift_y = shift_of(box.top, box.bottom, middle.y / count);
  for (Stroke& stroke : strokes) {
    for (Point& p : stroke) p = {scale * p.x + shift_x, scale * p.y + shift_y};
  }
}

struct End {
  Point at;
  float radius;
};

using Distances = std::array<float, side * side>;  // pixels to the edge of the ink, negative inside

void approach(Distances& distances, const End& a, const End& b, float reach) {
  const float dx = b.at.x - a.at.x, dy = b.at.y - a.at.y, per_length = 1 / std::max(dx * dx + dy * dy, 1e-6f);
  const float margin = std::max(a.radius, b.radius) + reach;
  const auto pixel = [](float at) { return static_cast<int>(std::clamp(at, 0.0f, static_cast<float>(side - 1))); };
  const int left = pixel(std::min(a.at.x, b.at.x) - margin), right = pixel(std::max(a.at.x, b.at.x) + margin + 1);
  const int top = pixel(std::min(a.at.y, b.at.y) - margin), bottom = pixel(std::max(a.at.y, b.at.y) + margin + 1);
  for (int y = top; y <= bottom; ++y) {
    float* row = distances.data() + y * side;
    const float py = static_cast<float>(y) - a.at.y;
    for (int x = left; x <= right; ++x) {
      const float px = static_cast<float>(x) - a.at.x;
      const float t = std::min(std::max((px * dx + py * dy) * per_length, 0.0f), 1.0f);
      const float ex = px - t * dx, ey = py - t * dy;
      row[x] = std::min(row[x], std::sqrt(ex * ex + ey * ey) - (a.radius + t * (b.radius - a.radius)));
    }
  }
}

Distances trace(const std::vector<Stroke>& strokes, Random& random, float radius) {
  constexpr float reach = 2;
  Distances distances;
  distances.fill(reach);
  for (const Stroke& stroke : strokes) {
    const float at_start = radius * (1 + random.normal(0.12f)), at_end = radius * (1 + random.normal(0.12f));
    const float last = static_cast<float>(stroke.size() - 1);
    for (size_t i = 0; i + 1 < stroke.size(); ++i) {
      const auto pressed = [&](size_t k) { return at_start + (at_end - at_start) * static_cast<float>(k) / last; };
      approach(distances, {stroke[i], pressed(i)}, {stroke[i + 1], pressed(i + 1)}, reach);
    }
  }
  return distances;
}

void ink(const Distances& distances, Random& random, std::span<uint8_t, side * side> image) {
  const float softness = random.between(0.9f, 1.7f), strength = random.between(225, 290), grain = random.between(0, 0.22f);
  for (size_t i = 0; i < image.size(); ++i) {
    const float cover = std::clamp(0.5f - distances[i] / softness, 0.0f, 1.0f);
    const float smooth = cover * cover * (3 - 2 * cover);
    const float noise = smooth > 0 ? 1 - grain * to_unit(random.bits()) : 0;
    image[i] = static_cast<uint8_t>(std::clamp(smooth * strength * noise, 0.0f, 255.0f));
  }
}

Images draw_part(const DigitsRequest& request, DigitPart part) {
  Images images = make_images(part == DigitPart::train ? request.train : request.test, side, side, 1);
  parallel_for(images.count, request.threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::span<uint8_t, side * side> image(images.image(i));
      images.labels[static_cast<size_t>(i)] = draw_digit({request.seed, part, static_cast<uint32_t>(i)}, image);
    }
  });
  return images;
}

}  // namespace

int32_t draw_digit(const DigitKey& key, std::span<uint8_t, side * side> image) {
  Random random(key);
  const int32_t digit = static_cast<int32_t>(to_below(random.bits(), 10));
  const std::span<const Glyph> ways = glyphs(digit);
  const Glyph& glyph = ways[to_below(random.bits(), static_cast<uint32_t>(ways.size()))];
  const float radius = std::max(0.55f, 1.15f + random.normal(0.3f));
  std::vector<Stroke> strokes = bend(glyph, random);
  place(strokes, random, radius);
  ink(trace(strokes, random, radius), random, image);
  return digit;
}

Dataset digits(const DigitsRequest& request) {
  Dataset dataset;
  dataset.title = fmt::format("digits (synthetic, seed {})", request.seed);
  for (int digit = 0; digit < 10; ++digit) dataset.classes.push_back(std::to_string(digit));
  dataset.train = draw_part(request, DigitPart::train);
  dataset.test = draw_part(request, DigitPart::test);
  return dataset;
}

}  // namespace fovea::data
