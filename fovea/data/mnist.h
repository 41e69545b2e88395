// MNIST and everything published in its form.
#pragma once

#include <filesystem>

#include "fovea/data/dataset.h"

namespace fovea::data {

// The four IDX files of `folder`: {train,t10k}-{images-idx3,labels-idx1}-ubyte, with `-` or `.` before `idx`, plain or with `.gz`; a plain
// file goes before a packed one. At least ten classes, more where the labels say so. Throws Error (data).
Dataset mnist(const std::filesystem::path& folder, int threads);

}  // namespace fovea::data
