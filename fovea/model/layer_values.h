// What a layer's keys say: windows, initialisers, activations, batch norms.
#pragma once

#include <array>

#include "fovea/model/network.h"
#include "fovea/model/text.h"

namespace fovea::model {

inline constexpr int64_t largest_size = (int64_t{1} << 31) - 1;  // of anything that a text states
inline constexpr IntegerRange positive = {1, largest_size}, not_negative = {0, largest_size};

// The window of `size_key` over an image (h, w, c), with the keys stride, dilation and padding. Without a default the stride is the size.
Window read_window(const TextTable& table, std::string_view size_key, const Shape& image, std::optional<int64_t> stride);

Rounding read_rounding(const TextTable& table);

// "kaiming_uniform", or { normal = 0.01 }.
Init read_init(const TextTable& table, std::string_view key, Init otherwise);

struct Activated {
  std::optional<Activation> activation;
  float slope = 0;
};
Activated read_activation(const TextTable& table);  // of the keys activation and slope

// The keys epsilon, momentum and scale_init of a table.
BatchNorm read_batch_norm(const TextTable& table, const BatchNorm& otherwise);
// Of the key batch_norm: true, false or a table; nullopt where it is absent or false.
std::optional<BatchNorm> read_optional_batch_norm(const TextTable& table, const BatchNorm& otherwise);

}  // namespace fovea::model
