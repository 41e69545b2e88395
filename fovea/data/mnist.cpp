// Finds the four IDX files, reads them side by side, and checks them against each other.
#include "fovea/data/mnist.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/base/thread.h"
#include "fovea/data/idx.h"
#include "fovea/data/input_file.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> stems = {"train-images", "train-labels", "t10k-images", "t10k-labels"};
constexpr std::array<std::string_view, 4> endings = {"idx3-ubyte", "idx1-ubyte", "idx3-ubyte", "idx1-ubyte"};

fs::path find_file(const fs::path& folder, size_t which) {
  for (const std::string_view packing : {"", ".gz"}) {
    for (const char separator : {'-', '.'}) {
      const fs::path path = folder / fmt::format("{}{}{}{}", stems[which], separator, endings[which], packing);
      if (is_there(path)) return path;
    }
  }
  return {};
}

std::array<fs::path, 4> find_files(const fs::path& folder) {
  std::array<fs::path, 4> paths;
  std::vector<std::string> expected, missing;
  for (size_t i = 0; i < paths.size(); ++i) {
    paths[i] = find_file(folder, i);
    expected.push_back(fmt::format("{}-{}", stems[i], endings[i]));
    if (paths[i].empty()) missing.push_back(expected.back());
  }
  if (missing.empty()) return paths;
  throw Error(ErrorId::missing_data, why_missing(folder, missing))
      .note(fmt::format("expected there, plain or with .gz: {}", fmt::join(expected, ", ")))
      .help("put the four files there, or use `digits`, which needs no files");
}

void check_parts(const Images& images, const fs::path& images_path, const fs::path& labels_path) {
  if (images.labels.size() == static_cast<size_t>(images.count)) return;
  throw Error(ErrorId::mixed_data, fmt::format("`{}` has {} images, but `{}` has {} labels", images_path.string(), images.count,
                                               labels_path.string(), images.labels.size()))
      .help("take both files from the same data set");
}

}  // namespace

Dataset mnist(const fs::path& folder, int threads) {
  const std::array<fs::path, 4> paths = find_files(folder);
  Dataset dataset;
  const auto read_part = [&](Images& part, size_t first) {
    part = read_idx_images(paths[first], threads);
    part.labels = read_idx_labels(paths[first + 1]);
  };
  parallel_for(2, threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) read_part(i == 0 ? dataset.train : dataset.test, static_cast<size_t>(2 * i));
  });
  check_parts(dataset.train, paths[0], paths[1]);
  check_parts(dataset.test, paths[2], paths[3]);
  const Images &train = dataset.train, &test = dataset.test;
  if (train.h != test.h || train.w != test.w) {
    throw Error(ErrorId::mixed_data, fmt::format("training images are {} x {}, but test images {} x {}", train.h, train.w, test.h, test.w))
        .at(paths[2].string())
        .help("take all four files from the same data set");
  }
  const int32_t last = std::max(9, *std::ranges::max_element(train.labels)), last_tested = *std::ranges::max_element(test.labels);
  if (last_tested > last) {
    throw Error(ErrorId::mixed_data,
                fmt::format("label {} occurs in the test labels, but the training labels end at {}", last_tested, last))
        .at(paths[3].string())
        .help("take all four files from the same data set");
  }
  for (int32_t label = 0; label <= last; ++label) dataset.classes.push_back(std::to_string(label));
  dataset.title = fmt::format("mnist ({})", folder.string());
  return dataset;
}

}  // namespace fovea::data
