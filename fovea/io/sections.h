// A file of named sections, each with a checksum: what a checkpoint is kept in. docs/checkpoints.md gives every byte.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::io {

struct Section {
  std::string name;
  std::span<const std::byte> bytes;
};

// Replaces the file atomically; the file that stands there moves to `older`, if that is given. Returns the bytes of the file.
size_t write_sections(const std::filesystem::path& path, const std::vector<Section>& sections, const std::filesystem::path& older = {});

class SectionFile {
 public:
  // Throws Error (data) unless every byte is what was written; allocates no more than the file is long. `name` is only for errors.
  static SectionFile parse(std::string bytes, const std::string& name);
  static SectionFile read(const std::filesystem::path& path);

  const std::vector<Section>& sections() const { return sections_; }
  const Section* find(std::string_view name) const;  // nullptr if there is none

 private:
  std::shared_ptr<const std::string> bytes_;
  std::vector<Section> sections_;  // in bytes_, in the order of the file
};

}  // namespace fovea::io
