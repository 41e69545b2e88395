// The loops of direct.h. Compiled several times: FOVEA_ISA names the namespace, and nothing of the standard library is used, so that no
// inline function of one instruction set can stand in for that of another.
#include "fovea/backend/eigen/direct.h"

#include "fovea/backend/eigen/vector.h"

namespace fovea::eigen::FOVEA_ISA {
namespace {

// Rows of a tile so many vectors wide, for which its accumulators fill the registers: 32 of 16 floats, 16 of fewer.
constexpr int most_rows(int64_t vectors) { return lanes == 16 ? 14 : static_cast<int>(12 / vectors); }

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

void copy(const float* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) save(to + i, load(from + i));
  for (; i < count; ++i) to[i] = from[i];
}

// body(first_k, count, width, first float of the panel) for each panel of packed filters.
template <class Body>
void for_each_panel(int64_t k, int64_t rows, Body body) {
  int64_t offset = 0;
  for (int64_t first = 0; first < k;) {
    const int64_t width = k - first > lanes ? 2 * lanes : lanes;
    body(first, smaller(width, k - first), width, offset);
    first += width;
    offset += width * rows;
  }
}

void pack(const Packing& packing, const float* w, const float* bias, float* packed) {
  for_each_panel(packing.k, packing.taps + 1, [&](int64_t first, int64_t count, int64_t width, int64_t offset) {
    float* panel = packed + offset;
    for (int64_t j = 0; j < width; ++j) panel[j] = bias != nullptr && j < count ? bias[first + j] : 0;
    for (int64_t tap = 0; tap < packing.taps; ++tap) {
      panel += width;
      for (int64_t j = 0; j < count; ++j) panel[j] = w[(first + j) * packing.taps + tap];
      for (int64_t j = count; j < width; ++j) panel[j] = 0;
    }
  });
}

void add_unpacked(const Packing& packing, const float* packed, float* w) {
  for_each_panel(packing.k, packing.taps + 1, [&](int64_t first, int64_t count, int64_t width, int64_t offset) {
    const float* panel = packed + offset + width;
    for (int64_t j = 0; j < count; ++j)
      for (int64_t tap = 0; tap < packing.taps; ++tap) w[(first + j) * packing.taps + tap] += panel[tap * width + j];
  });
}

// ---- forward: the rows of a tile are pixels of a line ----

struct ForwardTile {
  const float* x;
  const float* panel;
  int64_t count;  // channels of the panel
  float* y;
};

// `step` is the step from one pixel to the next where it is known when compiling, else 0.
template <int rows, int vectors, int step>
void forward_tile(const DirectForward& f, const ForwardTile& tile) {
  constexpr int width = vectors * lanes;
  const int64_t lines = f.shape.lines, places = f.shape.places, run = f.shape.run;
  const int64_t q_step = step > 0 ? step : f.shape.q_step, line_step = f.shape.line_step, place_step = f.shape.place_step;
  const float* w = tile.panel;
  Vector sum[rows][vectors];
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < vectors; ++j) sum[i][j] = load(w + j * lanes);
  w += width;
  for (int64_t line = 0; line < lines; ++line)
    for (int64_t place = 0; place < places; ++place) {
      const float* x = tile.x + line * line_step + place * place_step;
      for (int64_t t = 0; t < run; ++t, ++x, w += width) {
        Vector filter[vectors];
        for (int j = 0; j < vectors; ++j) filter[j] = load(w + j * lanes);
        for (int i = 0; i < rows; ++i)
          for (int j = 0; j < vectors; ++j) sum[i][j] += x[i * q_step] * filter[j];
      }
    }
  if (f.rectify == Rectify::yes)
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < vectors; ++j) sum[i][j] = sum[i][j] <= 0 ? Vector{} : sum[i][j];
  const int64_t stride = f.shape.y_stride, count = tile.count;
  if (count == width) {
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < vectors; ++j) save(tile.y + i * stride + j * lanes, sum[i][j]);
    return;
  }
  float spilled[rows * width + width];  // rows of `count` floats, each over the surplus of the one before
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < vectors; ++j) save(spilled + i * count + j * lanes, sum[i][j]);
  if (count == stride) return copy(spilled, rows * count, tile.y);
  for (int i = 0; i < rows; ++i) copy(spilled + i * count, count, tile.y + i * stride);
}

using ForwardFunction = void (*)(const DirectForward&, const ForwardTile&);

template <int rows, int vectors, int step>
constexpr ForwardFunction forward_of() {
  if constexpr (rows <= most_rows(vectors))
    return forward_tile<rows, vectors, step>;
  else
    return nullptr;
}

template <int vectors, int step, int... rows>
constexpr ForwardFunction forward_of_rows[] = {nullptr, forward_of<rows, vectors, step>()...};

template <int step>
ForwardFunction forward_function(int64_t rows, int64_t width) {
  constexpr const auto& one = forward_of_rows<1, step, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>;
  constexpr const auto& two = forward_of_rows<2, step, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>;
  return (width == lanes ? one : two)[rows];
}

// A line as tiles of `rows` pixels, the first `longer` of which have one more.
struct LineTiles {
  LineTiles(const DirectShape& shape, int64_t width) {
    const int64_t most = most_rows(width / lanes), tiles = (shape.q + most - 1) / most;
    rows = shape.q / tiles;
    longer = shape.q % tiles;
    function = shape.q_step == 1 ? forward_function<1>(rows, width) : forward_function<0>(rows, width);
    if (longer > 0) function_of_longer = shape.q_step == 1 ? forward_function<1>(rows + 1, width) : forward_function<0>(rows + 1, width);
  }

  int64_t rows, longer;
  ForwardFunction function, function_of_longer = nullptr;
};

void forward(const DirectForward& f) {
  const DirectShape& shape = f.shape;
  for_each_panel(shape.k, shape.taps() + 1, [&](int64_t first_k, int64_t count, int64_t width, int64_t offset) {
    const LineTiles tiles(shape, width);
    ForwardTile tile = {.x = nullptr, .panel = f.packed + offset, .count = count, .y = f.y + first_k};
    for (int64_t n = 0; n < shape.n; ++n)
      for (int64_t p = 0; p < shape.p; ++p) {
        tile.x = f.x + n * shape.n_step + p * shape.p_step;
        for (int64_t q = 0, i = 0; q < shape.q; ++i) {
          const int64_t rows = tiles.rows + (i < tiles.longer ? 1 : 0);
          (i < tiles.longer ? tiles.function_of_longer : tiles.function)(f, tile);
          q += rows;
          tile.x += rows * shape.q_step;
          tile.y += rows * shape.y_stride;
        }
      }
  });
}

// ---- filter: the rows of a tile are places of the filter, `lines` by `run` of them ----

struct FilterTile {
  const float* x;
  const float* dy;
  float* panel;
  int64_t line_floats;  // of the panel, from one line of the tile to the next
};

template <int lines, int run, int vectors>
void filter_tile(const DirectFilter& f, const FilterTile& tile) {
  constexpr int width = vectors * lanes;
  const int64_t n_count = f.shape.n, p_count = f.shape.p, q_count = f.shape.q;
  const int64_t n_step = f.shape.n_step, p_step = f.shape.p_step, q_step = f.shape.q_step, line_step = f.shape.line_step;
  const int64_t dy_step = f.shape.y_stride;
  Vector sum[lines][run][vectors] = {};
  const float* dy = tile.dy;
  for (int64_t n = 0; n < n_count; ++n)
    for (int64_t p = 0; p < p_count; ++p) {
      const float* x = tile.x + n * n_step + p * p_step;
      for (int64_t q = 0; q < q_count; ++q, x += q_step, dy += dy_step) {
        Vector gradient[vectors];
        for (int j = 0; j < vectors; ++j) gradient[j] = load(dy + j * lanes);
        for (int line = 0; line < lines; ++line)
          for (int i = 0; i < run; ++i)
            for (int j = 0; j < vectors; ++j) sum[line][i][j] += x[line * line_step + i] * gradient[j];
      }
    }
  for (int line = 0; line < lines; ++line)
    for (int i = 0; i < run; ++i)
      for (int j = 0; j < vectors; ++j) {
        float* place = tile.panel + line * tile.line_floats + i * width + j * lanes;
        save(place, load(place) + sum[line][i][j]);
      }
}

using FilterFunction = void (*)(const DirectFilter&, const FilterTile&);

// Tiles of several lines where a line is too short to keep the processor busy.
template <int lines, int run, int vectors>
constexpr FilterFunction filter_of() {
  if constexpr (run <= most_rows(vectors) && lines * run * vectors <= 2 * most_rows(2))
    return filter_tile<lines, run, vectors>;
  else
    return nullptr;
}

template <int lines, int vectors, int... runs>
constexpr FilterFunction filter_of_runs[] = {nullptr, filter_of<lines, runs, vectors>()...};

template <int lines>
FilterFunction filter_function(int64_t run, int64_t width) {
  constexpr const auto& one = filter_of_runs<lines, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>;
  constexpr const auto& two = filter_of_runs<lines, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>;
  return (width == lanes ? one : two)[run];
}

struct FilterChoice {
  int64_t lines;
  FilterFunction function;
};

FilterChoice filter_choice(int64_t lines, int64_t run, int64_t width) {
  if (const FilterFunction five = filter_function<5>(run, width); lines >= 5 && five != nullptr) return {5, five};
  if (const FilterFunction three = filter_function<3>(run, width); lines >= 3 && three != nullptr) return {3, three};
  return {1, filter_function<1>(run, width)};
}

void filter(const DirectFilter& f) {
  const DirectShape& shape = f.shape;
  for_each_panel(shape.k, shape.taps() + 1, [&](int64_t first_k, int64_t, int64_t width, int64_t offset) {
    float* panel = f.packed + offset + width;
    const int64_t line_floats = shape.places * shape.run * width;
    const int64_t most = most_rows(width / lanes), tiles = (shape.run + most - 1) / most;
    for (int64_t place = 0; place < shape.places; ++place)
      for (int64_t i = 0; i < tiles; ++i) {
        const int64_t first = i * shape.run / tiles, run = (i + 1) * shape.run / tiles - first;
        for (int64_t line = 0; line < shape.lines;) {
          const FilterChoice choice = filter_choice(shape.lines - line, run, width);
          const float* x = f.x + line * shape.line_step + place * shape.place_step + first;
          choice.function(f, {x, f.dy + first_k, panel + line * line_floats + (place * shape.run + first) * width, line_floats});
          line += choice.lines;
        }
      }
  });
}

}  // namespace

extern const DirectLoops loops;
const DirectLoops loops = {lanes, pack, add_unpacked, forward, filter};

}  // namespace fovea::eigen::FOVEA_ISA
