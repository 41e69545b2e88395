// The loops of depthwise_loops.h. Compiled several times: FOVEA_ISA names the namespace, and nothing of the standard library is used.
#include "fovea/backend/eigen/depthwise_loops.h"

#include "fovea/backend/eigen/vector.h"

namespace fovea::eigen::FOVEA_ISA {
namespace {

// The channels, four vectors at a time, then one, then one by one.
template <class Four, class One, class Rest>
void for_each_channels(int64_t channels, Four four, One one, Rest rest) {
  int64_t c = 0;
  for (; c + 4 * lanes <= channels; c += 4 * lanes) four(c);
  for (; c + lanes <= channels; c += lanes) one(c);
  for (; c < channels; ++c) rest(c);
}

struct Columns {
  const Tap* first;
  int64_t count;
};

template <int vectors>
void pixel(const DepthwiseLine& line, const Columns& columns, int64_t c, float* out) {
  Vector sum[vectors] = {};
  for (int64_t i = 0; i < line.row_count; ++i) {
    const float *x = line.source + line.rows[i].source + c, *w = line.filter + line.rows[i].filter + c;
    for (int64_t j = 0; j < columns.count; ++j) {
      const Tap column = columns.first[j];
      for (int v = 0; v < vectors; ++v) sum[v] += load(x + column.source + v * lanes) * load(w + column.filter + v * lanes);
    }
  }
  for (int v = 0; v < vectors; ++v) {
    float* to = out + c + v * lanes;
    save(to, line.mode == DepthwiseLine::Mode::add ? load(to) + sum[v] : sum[v]);
  }
}

void channel(const DepthwiseLine& line, const Columns& columns, int64_t c, float* out) {
  float sum = 0;
  for (int64_t i = 0; i < line.row_count; ++i) {
    const float *x = line.source + line.rows[i].source + c, *w = line.filter + line.rows[i].filter + c;
    for (int64_t j = 0; j < columns.count; ++j) sum += x[columns.first[j].source] * w[columns.first[j].filter];
  }
  out[c] = line.mode == DepthwiseLine::Mode::add ? out[c] + sum : sum;
}

void line(const DepthwiseLine& line) {
  float* out = line.out;
  int64_t begin = 0;
  for (int64_t i = 0; i < line.pixels; ++i, out += line.c) {
    const Columns columns = {line.columns + begin, line.column_end[i] - begin};
    begin = line.column_end[i];
    for_each_channels(
        line.c, [&](int64_t c) { pixel<4>(line, columns, c, out); }, [&](int64_t c) { pixel<1>(line, columns, c, out); },
        [&](int64_t c) { channel(line, columns, c, out); });
  }
}

template <int vectors>
void add_products(const DepthwiseProducts& of, int64_t c) {
  Vector sum[vectors] = {};
  const float *x = of.x + c, *dy = of.dy + c;
  for (int64_t i = 0; i < of.pixels; ++i, x += of.x_step, dy += of.c)
    for (int v = 0; v < vectors; ++v) sum[v] += load(x + v * lanes) * load(dy + v * lanes);
  for (int v = 0; v < vectors; ++v) save(of.sums + c + v * lanes, load(of.sums + c + v * lanes) + sum[v]);
}

void add_products_of_channel(const DepthwiseProducts& of, int64_t c) {
  float sum = 0;
  for (int64_t i = 0; i < of.pixels; ++i) sum += of.x[i * of.x_step + c] * of.dy[i * of.c + c];
  of.sums[c] += sum;
}

void products(const DepthwiseProducts& of) {
  for_each_channels(
      of.c, [&](int64_t c) { add_products<4>(of, c); }, [&](int64_t c) { add_products<1>(of, c); },
      [&](int64_t c) { add_products_of_channel(of, c); });
}

}  // namespace

extern const DepthwiseLoops depthwise;
const DepthwiseLoops depthwise = {line, products};

}  // namespace fovea::eigen::FOVEA_ISA
