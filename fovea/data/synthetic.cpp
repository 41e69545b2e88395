// Uniform bytes from Philox, sixteen to a call.
#include "fovea/data/synthetic.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/base/philox.h"
#include "fovea/base/thread.h"

namespace fovea::data {
namespace {

enum Part : uint32_t { train_part, test_part };

Images random_images(const SyntheticShape& shape, Part part, int threads) {
  constexpr uint64_t seed = 1;
  constexpr uint32_t label_block = 0xFFFFFFFF;
  Images images = make_images(part == train_part ? shape.train : shape.test, shape.h, shape.w, shape.c);
  parallel_for(images.count, threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint32_t id = static_cast<uint32_t>(i);
      const std::span<uint8_t> image = images.image(i);
      for (size_t at = 0; at < image.size(); at += 16) {
        const Random4 bits = philox(seed, Draw::pixels, id, part, static_cast<uint32_t>(at / 16));
        for (size_t byte = 0; byte < std::min<size_t>(16, image.size() - at); ++byte) {
          image[at + byte] = static_cast<uint8_t>(bits.v[byte / 4] >> (8 * (byte % 4)));
        }
      }
      const uint32_t label = to_below(philox(seed, Draw::pixels, id, part, label_block).v[0], static_cast<uint32_t>(shape.classes));
      images.labels[static_cast<size_t>(i)] = static_cast<int32_t>(label);
    }
  });
  return images;
}

}  // namespace

Dataset synthetic(const SyntheticShape& shape, int threads) {
  Dataset dataset;
  dataset.title = fmt::format("random pixels (synthetic, {} x {} x {}, {} classes)", shape.h, shape.w, shape.c, shape.classes);
  for (int64_t i = 0; i < shape.classes; ++i) dataset.classes.push_back(std::to_string(i));
  dataset.train = random_images(shape, train_part, threads);
  dataset.test = random_images(shape, test_part, threads);
  return dataset;
}

}  // namespace fovea::data
