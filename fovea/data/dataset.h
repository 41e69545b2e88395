// Data sets of labelled images in memory: what they are, how one is asked for, and what can be computed from the pixels.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::data {

// Leaves new elements as they are: zeros that a file is about to replace would cost as much as reading it.
template <class T>
struct Uninitialised : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = Uninitialised<U>;
  };
  template <class U>
  void construct(U* place) noexcept {
    ::new (static_cast<void*>(place)) U;
  }
  template <class U, class... Arguments>
  void construct(U* place, Arguments&&... arguments) {
    ::new (static_cast<void*>(place)) U(std::forward<Arguments>(arguments)...);
  }
};

using Pixels = std::vector<uint8_t, Uninitialised<uint8_t>>;

constexpr int32_t ignored_label = -1;

// One part of a data set, as stored.
struct Images {
  int64_t count = 0, h = 0, w = 0, c = 0;
  Pixels pixels;                // (count, h, w, c)
  std::vector<int32_t> labels;  // (count), 0 .. classes - 1 or ignored_label

  int64_t image_bytes() const { return h * w * c; }
  std::span<const uint8_t> image(int64_t i) const { return std::span(pixels).subspan(offset(i), static_cast<size_t>(image_bytes())); }
  std::span<uint8_t> image(int64_t i) { return std::span(pixels).subspan(offset(i), static_cast<size_t>(image_bytes())); }

 private:
  size_t offset(int64_t i) const { return static_cast<size_t>(i * image_bytes()); }
};

// Room for `count` images and labels, contents unspecified; Error (memory) if there is none.
Images make_images(int64_t count, int64_t h, int64_t w, int64_t c);

struct Dataset {
  std::string spec;                  // as asked for: "mnist:data/mnist"
  std::string title;                 // for people: "digits (synthetic, seed 1)"; always says so where it is synthetic
  std::vector<std::string> classes;  // names, by label
  Images train, test;                // of the same h, w and c, neither empty
};

// Reads or draws the data set that `spec` asks for, on all cores:
//   digits[:SEED]                            handwritten-like digits drawn from a seed, 60,000 + 10,000 of 28 x 28 x 1 (default seed 1)
//   mnist:DIR                                the four IDX files, plain or gzip: MNIST, Fashion-MNIST, EMNIST, ...
//   cifar10:DIR                              the binary version
//   synthetic:HxWxC:CLASSES[:TRAIN[:TEST]]   random pixels and labels, for speed only (default 10,000 + 1,000)
// Throws Error (data) where the spec or the files are wrong, Error (memory) where the images do not fit.
Dataset load(std::string_view spec);

struct Split {
  Images train, valid;
};

// Takes round(fraction * count) images out for validation, chosen by the seed alone; both parts keep the order of `images`.
// Throws Error (config) unless both parts get at least one image.
Split split(const Images& images, double fraction, uint64_t seed);

struct MeanStd {
  std::vector<double> mean, std;  // (c), pixels counted from 0 to 1
};

// From exact integer sums: the same bits on any number of threads.
MeanStd mean_and_std(const Images& images, int threads);

// The yes-or-no question "is it one of `positive`?": those classes become label 1, the others 0. Throws Error (config) for an unknown name.
Dataset binary(Dataset dataset, std::span<const std::string> positive);

}  // namespace fovea::data
