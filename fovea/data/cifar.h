// CIFAR-10, the binary version.
#pragma once

#include <filesystem>

#include "fovea/data/dataset.h"

namespace fovea::data {

// data_batch_1.bin .. data_batch_5.bin and test_batch.bin in `folder` or in its cifar-10-batches-bin; class names from batches.meta.txt
// where there is one. Throws Error (data).
Dataset cifar10(const std::filesystem::path& folder, int threads);

}  // namespace fovea::data
