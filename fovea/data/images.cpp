// What can be made of images that are in memory: room for them, a validation part, their mean and deviation, a yes-or-no question.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>

#include "fovea/base/error.h"
#include "fovea/base/philox.h"
#include "fovea/base/thread.h"
#include "fovea/data/dataset.h"

namespace fovea::data {
namespace {

Images copy_some(const Images& images, std::span<const int64_t> chosen) {
  Images some = make_images(static_cast<int64_t>(chosen.size()), images.h, images.w, images.c);
  for (size_t i = 0; i < chosen.size(); ++i) {
    std::ranges::copy(images.image(chosen[i]), some.image(static_cast<int64_t>(i)).begin());
    some.labels[i] = images.labels[static_cast<size_t>(chosen[i])];
  }
  return some;
}

struct Sums {
  std::vector<uint64_t> values, squares;  // (lanes); value i of a row of `lanes` pixels adds to lane i
};

// 32-bit lanes, emptied before 255^2 * rows can pass 2^32, so that the inner loop is as wide as the vectors are.
Sums sum_rows(std::span<const uint8_t> pixels, size_t lanes) {
  constexpr size_t rows_at_once = 65536;
  Sums sums{std::vector<uint64_t>(lanes), std::vector<uint64_t>(lanes)};
  std::vector<uint32_t> values(lanes), squares(lanes);
  while (!pixels.empty()) {
    const size_t rows = std::min(rows_at_once, pixels.size() / lanes);
    std::ranges::fill(values, 0u);
    std::ranges::fill(squares, 0u);
    for (size_t row = 0; row < rows; ++row) {
      const uint8_t* x = pixels.data() + row * lanes;
      for (size_t i = 0; i < lanes; ++i) {
        const uint32_t value = x[i];
        values[i] += value;
        squares[i] += value * value;
      }
    }
    for (size_t i = 0; i < lanes; ++i) {
      sums.values[i] += values[i];
      sums.squares[i] += squares[i];
    }
    pixels = pixels.subspan(rows * lanes);
  }
  return sums;
}

std::string joined(std::span<const std::string> names, std::string_view separator) {
  return fmt::format("{}", fmt::join(names, separator));
}

}  // namespace

Images make_images(int64_t count, int64_t h, int64_t w, int64_t c) {
  int64_t bytes = count;
  const bool too_large =
      __builtin_mul_overflow(bytes, h, &bytes) || __builtin_mul_overflow(bytes, w, &bytes) || __builtin_mul_overflow(bytes, c, &bytes);
  try {
    if (too_large) throw std::bad_alloc();
    Images images{.count = count, .h = h, .w = w, .c = c, .pixels = {}, .labels = {}};
    images.pixels.resize(static_cast<size_t>(bytes));
    images.labels.resize(static_cast<size_t>(count));
    return images;
  } catch (const std::exception&) {  // bad_alloc, or length_error beyond what a vector can count
    throw Error(ErrorId::no_memory_for_images, fmt::format("no memory for {} images of {} x {} x {}", count, h, w, c))
        .help("use fewer or smaller images, or a machine with more memory");
  }
}

Split split(const Images& images, double fraction, uint64_t seed) {
  const int64_t valid_count = fraction > 0 && fraction < 1 ? std::llround(fraction * static_cast<double>(images.count)) : 0;
  if (valid_count < 1 || valid_count >= images.count) {
    throw Error(ErrorId::recipe_and_data, fmt::format("a validation part of {} of {} images leaves a part empty", fraction, images.count))
        .help("choose a fraction between 0 and 1 that gives at least one image to each part");
  }
  const Random4 own = philox(seed, Draw::split, 0, 0, 0);
  const uint64_t order = uint64_t{own.v[1]} << 32 | own.v[0];
  std::vector<int64_t> train, valid;
  for (int64_t i = 0; i < images.count; ++i) {
    const uint64_t rank = shuffled_index(static_cast<uint64_t>(i), static_cast<uint64_t>(images.count), order, 0);
    (rank < static_cast<uint64_t>(valid_count) ? valid : train).push_back(i);
  }
  return {copy_some(images, train), copy_some(images, valid)};
}

MeanStd mean_and_std(const Images& images, int threads) {
  const size_t c = static_cast<size_t>(images.c), lanes = 48 % c == 0 ? 48 : c;
  const std::span<const uint8_t> all = images.pixels;
  const size_t rows = all.size() / lanes, per_part = 4096, parts = (rows + per_part - 1) / per_part;
  std::vector<Sums> part_sums(parts + 1);
  parallel_for(static_cast<int64_t>(parts), threads, [&](int64_t begin, int64_t end) {
    for (size_t part = static_cast<size_t>(begin); part < static_cast<size_t>(end); ++part) {
      const size_t first = part * per_part, count = std::min(per_part, rows - first);
      part_sums[part] = sum_rows(all.subspan(first * lanes, count * lanes), lanes);
    }
  });
  part_sums[parts] = sum_rows(all.subspan(rows * lanes), c);
  MeanStd result;
  for (size_t channel = 0; channel < c; ++channel) {
    uint64_t values = 0, squares = 0;
    for (const Sums& sums : part_sums) {
      for (size_t i = channel; i < sums.values.size(); i += c) {
        values += sums.values[i];
        squares += sums.squares[i];
      }
    }
    const double pixels = static_cast<double>(all.size() / c), mean = static_cast<double>(values) / pixels;
    result.mean.push_back(mean / 255);
    result.std.push_back(std::sqrt(std::max(0.0, static_cast<double>(squares) / pixels - mean * mean)) / 255);
  }
  return result;
}

Dataset binary(Dataset dataset, std::span<const std::string> positive) {
  std::vector<int32_t> answer(dataset.classes.size(), 0);
  for (const std::string& name : positive) {
    const auto found = std::ranges::find(dataset.classes, name);
    if (found == dataset.classes.end()) {
      throw Error(ErrorId::recipe_and_data, fmt::format("`{}` has no class `{}`", dataset.spec, name))
          .help(fmt::format("its classes are: {}", joined(dataset.classes, ", ")));
    }
    answer[static_cast<size_t>(found - dataset.classes.begin())] = 1;
  }
  if (std::ranges::count(answer, 0) == 0 || std::ranges::count(answer, 1) == 0) {
    throw Error(ErrorId::recipe_and_data, "a yes-or-no question needs at least one class on each side")
        .note(fmt::format("{} of {} classes are named as positive", std::ranges::count(answer, 1), answer.size()))
        .help(fmt::format("name some, but not all, of: {}", joined(dataset.classes, ", ")));
  }
  for (Images* images : {&dataset.train, &dataset.test}) {
    for (int32_t& label : images->labels) {
      if (label != ignored_label) label = answer[static_cast<size_t>(label)];
    }
  }
  const std::string yes = joined(positive, " or ");
  dataset.title += fmt::format(": {} or not", joined(positive, ", "));
  dataset.classes = {"not " + yes, yes};
  return dataset;
}

}  // namespace fovea::data
