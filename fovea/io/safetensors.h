// The safetensors format: an 8-byte little-endian header length, a JSON header, then dense little-endian tensors.
// https://huggingface.co/docs/safetensors, "Format".
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "fovea/tensor/tensor.h"

namespace fovea::io {

struct NamedTensor {
  std::string name;
  DType dtype = DType::f32;  // f32, f64, u8, u16 or i32
  Shape shape;
  std::vector<std::byte> bytes;
};

struct Safetensors {
  std::map<std::string, std::string> metadata;
  std::vector<NamedTensor> tensors;  // in the order of the file's data

  const NamedTensor* find(std::string_view name) const;  // nullptr if there is none
};

void write_safetensors(const std::filesystem::path& path, const Safetensors& content);  // replaces the file atomically

// Throws Error (data) on anything that is not a whole, well-formed file; allocates no more than the file is long.
Safetensors read_safetensors(const std::filesystem::path& path);
Safetensors parse_safetensors(std::string_view bytes, const std::string& name);  // `name` is only for errors

}  // namespace fovea::io
