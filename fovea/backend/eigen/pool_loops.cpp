// The loops of pool_loops.h. Compiled several times: FOVEA_ISA names the namespace, and nothing of the standard library is used.
#include "fovea/backend/eigen/pool_loops.h"

#include "fovea/backend/eigen/vector.h"

namespace fovea::eigen::FOVEA_ISA {
namespace {

constexpr int most_places = 256;

// Of a window: where its places lie relative to a pixel of x, and their numbers.
struct Places {
  int64_t count = 0;
  int64_t offset[most_places];
  int32_t number[most_places];
};

// The places of the window at (h, w), which may lie outside.
void collect_places(const PoolLoopShape& shape, int64_t h, int64_t w, Places& places) {
  places.count = 0;
  for (int64_t r = 0; r < shape.r; ++r)
    for (int64_t s = 0; s < shape.s; ++s) {
      const int64_t at_h = h + r * shape.dilation_h, at_w = w + s * shape.dilation_w;
      if (at_h < 0 || at_h >= shape.h || at_w < 0 || at_w >= shape.w) continue;
      places.offset[places.count] = (r * shape.dilation_h * shape.w + s * shape.dilation_w) * shape.c;
      places.number[places.count++] = static_cast<int32_t>(r * shape.s + s);
    }
}

// body(first float of x under the window, output pixel, places inside the image).
template <class Body>
void for_each_window(const PoolLoopShape& shape, Body body) {
  Places whole, part;
  const int64_t reach_h = shape.dilation_h * (shape.r - 1), reach_w = shape.dilation_w * (shape.s - 1);
  collect_places(shape, 0, 0, whole);
  int64_t pixel = 0;
  for (int64_t n = 0; n < shape.n; ++n)
    for (int64_t p = 0; p < shape.p; ++p)
      for (int64_t q = 0; q < shape.q; ++q, ++pixel) {
        const int64_t h = p * shape.stride_h - shape.pad_top, w = q * shape.stride_w - shape.pad_left;
        const bool inside = h >= 0 && h + reach_h < shape.h && w >= 0 && w + reach_w < shape.w;
        if (!inside) collect_places(shape, h, w, part);
        body(((n * shape.h + h) * shape.w + w) * shape.c, pixel, inside ? whole : part);
      }
}

// Lines of non-overlapping windows without padding can be reduced as a whole: first over r, then over s.
bool by_lines(const PoolLoopShape& shape) {
  return shape.c < lanes && shape.stride_h == shape.r && shape.stride_w == shape.s && shape.pad_top == 0 && shape.pad_left == 0 &&
         shape.dilation_h == 1 && shape.dilation_w == 1 && shape.p * shape.r <= shape.h && shape.q * shape.s <= shape.w;
}

// Channel by channel, where they are few and windows overlap.
void forward_narrow(const MaxPool& pool) {
  const int64_t c = pool.shape.c;
  for_each_window(pool.shape, [&](int64_t from, int64_t pixel, const Places& places) {
    for (int64_t i = 0; i < c; ++i) {
      const float* x = pool.x + from + i;
      float largest = x[places.offset[0]];
      int32_t number = places.number[0];
      for (int64_t place = 1; place < places.count; ++place) {
        const float value = x[places.offset[place]];
        const bool larger = !(value <= largest) && largest == largest;  // a NaN is, unless there was one before
        largest = larger ? value : largest;
        number = larger ? places.number[place] : number;
      }
      pool.y[pixel * c + i] = largest;
      if (pool.argmax != nullptr) pool.argmax[pixel * c + i] = static_cast<uint8_t>(number);
    }
  });
}

void forward_wide(const MaxPool& pool) {
  const int64_t c = pool.shape.c;
  for_each_window(pool.shape, [&](int64_t from, int64_t pixel, const Places& places) {
    for (int64_t block = 0; block < c; block += lanes) {
      const int64_t first = block + lanes <= c ? block : c - lanes;
      const float* x = pool.x + from + first;
      Vector largest = load(x + places.offset[0]);
      Integers number = Integers{} + places.number[0];
      for (int64_t place = 1; place < places.count; ++place) {
        const Vector value = load(x + places.offset[place]);
        const Integers larger = ~(value <= largest) & (largest == largest);
        largest = larger ? value : largest;
        number = larger ? Integers{} + places.number[place] : number;
      }
      save(pool.y + pixel * c + first, largest);
      if (pool.argmax != nullptr) save(pool.argmax + pixel * c + first, number);
    }
  });
}

// Runs of c floats (c < lanes) are moved as whole vectors, in ascending order, each over the surplus of the one before:
// buffers of a line have room for one vector more.
struct LineBuffers {
  LineBuffers(const PoolLoopShape& shape, int32_t* workspace) : length(shape.w * shape.c + lanes), next(workspace) {}
  int32_t* integers() {
    next += length;
    return next - length;
  }
  float* floats() { return reinterpret_cast<float*>(integers()); }

  int64_t length;
  int32_t* next;
};

int64_t whole_vectors(int64_t count) { return (count + lanes - 1) / lanes * lanes; }

// to = every step-th run of c, from the first one on.
template <class Element>
void pick_runs(int64_t count, int64_t c, int64_t step, const Element* from, Element* to) {
  for (int64_t i = 0; i < count; ++i) save(to + i * c, load(from + i * step * c));
}

void larger_of_lines(int64_t count, const float* __restrict x, int32_t number, float* __restrict largest, int32_t* __restrict place) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) {
    const bool larger = !(x[j] <= largest[j]) & (largest[j] == largest[j]);
    largest[j] = larger ? x[j] : largest[j];
    place[j] = larger ? number : place[j];
  }
}

// Of equal values the lower place is taken; a NaN is larger than a number.
void larger_of_candidates(int64_t count, const float* __restrict x, const int32_t* __restrict x_place, float* __restrict largest,
                          int32_t* __restrict place) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) {
    const bool is_number = largest[j] == largest[j], equal = (x[j] == largest[j]) | (!is_number & (x[j] != x[j]));
    const bool larger = (!(x[j] <= largest[j]) & is_number) | (equal & (x_place[j] < place[j]));
    largest[j] = larger ? x[j] : largest[j];
    place[j] = larger ? x_place[j] : place[j];
  }
}

void forward_lines(const MaxPool& pool) {
  const PoolLoopShape& shape = pool.shape;
  const int64_t c = shape.c, line = shape.w * c, line_out = shape.q * c;
  LineBuffers buffers(shape, pool.workspace);
  float *column = buffers.floats(), *candidate = buffers.floats(), *largest = buffers.floats();
  int32_t *column_place = buffers.integers(), *candidate_place = buffers.integers(), *place = buffers.integers();
  for (int64_t j = line; j < line + lanes; ++j) column_place[j] = 0;  // added to with the last run, though not kept
  for (int64_t n = 0; n < shape.n; ++n)
    for (int64_t p = 0; p < shape.p; ++p) {
      const float* x = pool.x + (n * shape.h + p * shape.r) * line;
      for (int64_t j = 0; j < line; ++j) {
        column[j] = x[j];
        column_place[j] = 0;
      }
      for (int64_t r = 1; r < shape.r; ++r) larger_of_lines(line, x + r * line, static_cast<int32_t>(r * shape.s), column, column_place);
      pick_runs(shape.q, c, shape.s, column, largest);
      pick_runs(shape.q, c, shape.s, column_place, place);
      for (int64_t s = 1; s < shape.s; ++s) {
        pick_runs(shape.q, c, shape.s, column + s * c, candidate);
        for (int64_t q = 0; q < shape.q; ++q)
          save(candidate_place + q * c, load(column_place + (q * shape.s + s) * c) + static_cast<int32_t>(s));
        larger_of_candidates(whole_vectors(line_out), candidate, candidate_place, largest, place);
      }
      float* y = pool.y + (n * shape.p + p) * line_out;
      for (int64_t j = 0; j < line_out; ++j) y[j] = largest[j];
      if (pool.argmax == nullptr) continue;
      uint8_t* argmax = pool.argmax + (n * shape.p + p) * line_out;
      for (int64_t j = 0; j < line_out; ++j) argmax[j] = static_cast<uint8_t>(place[j]);
    }
}

void forward(const MaxPool& pool) {
  if (by_lines(pool.shape)) return forward_lines(pool);
  if (pool.shape.c >= lanes) return forward_wide(pool);
  forward_narrow(pool);
}

// ---- backward ----

// Whether windows neither overlap nor leave a pixel out: then each place is written once.
bool tiles_image(const PoolLoopShape& shape) {
  return shape.stride_h == shape.r && shape.stride_w == shape.s && shape.pad_top == 0 && shape.pad_left == 0 && shape.dilation_h == 1 &&
         shape.dilation_w == 1 && shape.p * shape.r == shape.h && shape.q * shape.s == shape.w;
}

void clear(float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = 0;
}

void backward_narrow(const MaxPoolGradient& pool) {
  const int64_t c = pool.shape.c;
  for_each_window(pool.shape, [&](int64_t to, int64_t pixel, const Places& places) {
    for (int64_t i = 0; i < c; ++i) {
      const int64_t from = pixel * c + i;
      if (pool.y != nullptr && pool.y[from] <= 0) continue;
      for (int64_t place = 0; place < places.count; ++place)
        if (places.number[place] == pool.argmax[from]) pool.dx[to + places.offset[place] + i] += pool.dy[from];
    }
  });
}

template <MaxPoolGradient::Mode mode>
void backward_wide(const MaxPoolGradient& pool) {
  const int64_t c = pool.shape.c;
  for_each_window(pool.shape, [&](int64_t to, int64_t pixel, const Places& places) {
    for (int64_t first = 0; first + lanes <= c; first += lanes) {
      const int64_t from = pixel * c + first;
      Vector gradient = load(pool.dy + from);
      if (pool.y != nullptr) gradient = load(pool.y + from) <= 0 ? Vector{} : gradient;
      const Integers largest = load(pool.argmax + from);
      for (int64_t place = 0; place < places.count; ++place) {
        float* dx = pool.dx + to + places.offset[place] + first;
        const Vector value = largest == places.number[place] ? gradient : Vector{};
        save(dx, mode == MaxPoolGradient::Mode::add ? load(dx) + value : value);
      }
    }
    for (int64_t i = c / lanes * lanes; i < c; ++i) {
      const int64_t from = pixel * c + i;
      const float gradient = pool.y != nullptr && pool.y[from] <= 0 ? 0 : pool.dy[from];
      for (int64_t place = 0; place < places.count; ++place) {
        float& dx = pool.dx[to + places.offset[place] + i];
        const float value = places.number[place] == pool.argmax[from] ? gradient : 0;
        dx = mode == MaxPoolGradient::Mode::add ? dx + value : value;
      }
    }
  });
}

// dx = or += the gradients whose largest place is `number`.
template <MaxPoolGradient::Mode mode>
void place_line(int64_t count, const float* __restrict gradient, const int32_t* __restrict largest, int32_t number, float* __restrict dx) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) {
    const float value = largest[j] == number ? gradient[j] : 0;
    dx[j] = mode == MaxPoolGradient::Mode::add ? dx[j] + value : value;
  }
}

void rectify_line(int64_t count, const float* __restrict y, const float* __restrict dy, float* __restrict gradient) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) gradient[j] = y[j] <= 0 ? 0 : dy[j];
}

template <MaxPoolGradient::Mode mode>
void backward_lines(const MaxPoolGradient& pool) {
  const PoolLoopShape& shape = pool.shape;
  const int64_t c = shape.c, line = shape.w * c, line_out = shape.q * c;
  LineBuffers buffers(shape, pool.workspace);
  float *gradient = buffers.floats(), *spread = buffers.floats();
  int32_t *largest = buffers.integers(), *spread_largest = buffers.integers();
  for (int64_t j = line_out; j < line_out + lanes; ++j) largest[j] = 0;  // subtracted from with the last run, though not kept
  for (int64_t n = 0; n < shape.n; ++n)
    for (int64_t p = 0; p < shape.p; ++p) {
      const int64_t from = (n * shape.p + p) * line_out;
      if (pool.y != nullptr)
        rectify_line(line_out, pool.y + from, pool.dy + from, gradient);
      else
        for (int64_t j = 0; j < line_out; ++j) gradient[j] = pool.dy[from + j];
      for (int64_t j = 0; j < line_out; ++j) largest[j] = pool.argmax[from + j];
      for (int64_t q = 0; q < shape.q; ++q)
        for (int64_t s = 0; s < shape.s; ++s) {
          save(spread + (q * shape.s + s) * c, load(gradient + q * c));
          save(spread_largest + (q * shape.s + s) * c, load(largest + q * c) - static_cast<int32_t>(s));
        }
      for (int64_t r = 0; r < shape.r; ++r)
        place_line<mode>(shape.q * shape.s * c, spread, spread_largest, static_cast<int32_t>(r * shape.s),
                         pool.dx + (n * shape.h + p * shape.r + r) * line);
    }
}

void backward(const MaxPoolGradient& pool) {
  using Mode = MaxPoolGradient::Mode;
  const PoolLoopShape& shape = pool.shape;
  const bool once = tiles_image(shape) && pool.mode == Mode::overwrite;
  if (!once && pool.mode == Mode::overwrite) clear(pool.dx, shape.n * shape.h * shape.w * shape.c);
  if (by_lines(shape)) return once ? backward_lines<Mode::overwrite>(pool) : backward_lines<Mode::add>(pool);
  if (shape.c >= lanes) return once ? backward_wide<Mode::overwrite>(pool) : backward_wide<Mode::add>(pool);
  if (once) clear(pool.dx, shape.n * shape.h * shape.w * shape.c);
  backward_narrow(pool);
}

}  // namespace

extern const PoolLoops pools;
const PoolLoops pools = {forward, backward};

}  // namespace fovea::eigen::FOVEA_ISA
