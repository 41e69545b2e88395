// IDX files, the format of MNIST and its relatives: big-endian magic number and sizes, then bytes; plain or gzip (told by content).
// Format: http://yann.lecun.com/exdb/mnist (magic 0x00000803 for images, 0x00000801 for labels).
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "fovea/data/dataset.h"

namespace fovea::data {

// Both check the sizes in the header against the size of the file before they take memory, and throw Error (data) for a file that
// is not IDX, is cut short, goes on after its end, or is damaged.
Images read_idx_images(const std::filesystem::path& path, int threads);  // (count, h, w, 1); the labels stay empty
std::vector<int32_t> read_idx_labels(const std::filesystem::path& path);

}  // namespace fovea::data
