// Records of one label byte and three planes of 32 x 32, interleaved into NHWC while they are read.
// Format: https://www.cs.toronto.edu/~kriz/cifar.html
#include "fovea/data/cifar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/base/thread.h"
#include "fovea/data/input_file.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t side = 32, channels = 3, plane = side * side, record_bytes = 1 + channels * plane;
constexpr int32_t class_count = 10;
constexpr std::array<const char*, 6> file_names = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                                   "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};
constexpr const char* subfolder = "cifar-10-batches-bin";

fs::path find_folder(const fs::path& folder) {
  const auto missing_from = [](const fs::path& place) {
    std::vector<std::string> missing;
    for (const char* name : file_names) {
      if (!is_there(place / name)) missing.push_back(name);
    }
    return missing;
  };
  const fs::path place = is_folder(folder / subfolder) ? folder / subfolder : folder;
  const std::vector<std::string> missing = missing_from(place);
  if (missing.empty()) return place;
  throw Error(ErrorId::missing_data, why_missing(place, missing))
      .note(fmt::format("expected there, or in its {}: {}", subfolder, fmt::join(file_names, ", ")))
      .help("unpack the binary version of CIFAR-10, cifar-10-binary.tar.gz, there");
}

std::vector<std::string> class_names(const fs::path& folder) {
  const fs::path path = folder / "batches.meta.txt";
  if (!is_there(path)) return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  std::istringstream lines(read_text(path));
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() != class_count) {
    throw Error(ErrorId::class_names, fmt::format("`{}` names {} classes, not {}", path.string(), names.size(), class_count))
        .help("one name on each line; without this file the usual names are used");
  }
  return names;
}

int64_t count_records(const InputFile& file) {
  if (file.size() > 0 && file.size() % record_bytes == 0) return file.size() / record_bytes;
  throw Error(ErrorId::cifar_length, fmt::format("`{}` has {} bytes, which is not a whole number of records of {} bytes",
                                                 file.path().string(), file.size(), record_bytes))
      .help("the file is cut short or not of the binary version: download it again");
}

void interleave(std::span<const uint8_t> planes, std::span<uint8_t> image) {
  const uint8_t *r = planes.data(), *g = r + plane, *b = g + plane;
  uint8_t* out = image.data();
  for (int64_t i = 0; i < plane; ++i) {
    out[channels * i] = r[i];
    out[channels * i + 1] = g[i];
    out[channels * i + 2] = b[i];
  }
}

// Records [begin, end) of a file to the images from `first` on.
void read_records(const InputFile& file, int64_t begin, int64_t end, Images& images, int64_t first) {
  constexpr int64_t at_once = 64;  // 192 KiB: they stay in the cache between reading and interleaving
  Pixels buffer(at_once * record_bytes);
  for (int64_t start = begin; start < end; start += at_once) {
    const int64_t count = std::min(at_once, end - start);
    file.read(start * record_bytes, std::span(buffer).first(static_cast<size_t>(count * record_bytes)));
    for (int64_t i = 0; i < count; ++i) {
      const std::span record = std::span(buffer).subspan(static_cast<size_t>(i * record_bytes), record_bytes);
      if (record[0] >= class_count) {
        throw Error(ErrorId::bad_label,
                    fmt::format("record {} of `{}` has label {}; labels are 0 to 9", start + i, file.path().string(), record[0]))
            .help("the file is damaged or not of CIFAR-10: download it again");
      }
      images.labels[static_cast<size_t>(first + start + i)] = record[0];
      interleave(record.subspan(1), images.image(first + start + i));
    }
  }
}

Images read_batches(const fs::path& folder, std::span<const char* const> names, int threads) {
  std::vector<std::unique_ptr<InputFile>> files;
  std::vector<int64_t> starts = {0};
  for (const char* name : names) {
    files.push_back(std::make_unique<InputFile>(folder / name));
    starts.push_back(starts.back() + count_records(*files.back()));
  }
  Images images = make_images(starts.back(), side, side, channels);
  parallel_for(images.count, threads, [&](int64_t begin, int64_t end) {
    for (size_t i = 0; i < files.size(); ++i) {
      const int64_t from = std::max(begin, starts[i]), to = std::min(end, starts[i + 1]);
      read_records(*files[i], from - starts[i], to - starts[i], images, starts[i]);
    }
  });
  return images;
}

}  // namespace

Dataset cifar10(const fs::path& folder, int threads) {
  const fs::path place = find_folder(folder);
  const std::span names(file_names);
  Dataset dataset;
  dataset.title = fmt::format("CIFAR-10 ({})", folder.string());
  dataset.classes = class_names(place);
  dataset.train = read_batches(place, names.first(5), threads);
  dataset.test = read_batches(place, names.last(1), threads);
  return dataset;
}

}  // namespace fovea::data
