// Makers of input files, whole ones and such as lie: IDX, gzip, CIFAR-10, safetensors and models.
#pragma once

#include <zlib.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "fovea/io/sections.h"
#include "fovea/train/saved_model.h"
#include "fovea/train/session.h"
#include "tests/cli/program.h"

namespace fovea::cli {

using nlohmann::json;

// `sizes` as the header states them; `content` as the file has it.
inline std::string idx(uint32_t magic, const std::vector<uint32_t>& sizes, const std::string& content) {
  std::string bytes;
  const auto put = [&](uint32_t value) {
    for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<char>(value >> shift));
  };
  put(magic);
  for (const uint32_t size : sizes) put(size);
  return bytes + content;
}

inline std::string images(uint32_t count, uint32_t side) { return idx(0x803, {count, side, side}, std::string(count * side * side, 'x')); }
inline std::string labels(uint32_t count, char label = 1) { return idx(0x801, {count}, std::string(count, label)); }

inline std::string gzip(const std::string& content) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("zlib cannot start");
  std::string out(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("zlib cannot pack");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline void plant_mnist(const Program& program) {
  program.plant("ten.toml", "input = [8, 8, 1]\nlayers = [{ flatten = true }, { linear = 10 }]\n");
  program.plant("mnist/train-images-idx3-ubyte", images(12, 8));
  program.plant("mnist/train-labels-idx1-ubyte", labels(12));
  program.plant("mnist/t10k-images-idx3-ubyte", images(4, 8));
  program.plant("mnist/t10k-labels-idx1-ubyte", labels(4));
}

constexpr size_t cifar_record = 3073;

inline void plant_cifar(const Program& program) {
  program.plant("rgb.toml", "input = [32, 32, 3]\nlayers = [{ flatten = true }, { linear = 10 }]\n");
  for (const std::string batch : {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"})
    program.plant("cifar/" + batch + ".bin", std::string(2 * cifar_record, '\3'));
}

inline std::string safetensors(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

// A model of the network {}/tiny.toml with initial weights, as `fovea train` leaves it.
inline train::SavedModel whole_model(const Program& program) {
  train::SavedModel model;
  model.network = model::load_network(program.path("tiny.toml").string());
  model.preprocessing = {{0.5f}, {0.25f}};
  model.classes = {"a", "b", "c", "d"};
  model.weights = train::initial_weights(model.network, 1);
  return model;
}

// Writes {}/m.safetensors after `change` was made to a whole model.
template <class Change>
void plant_model(const Program& program, Change&& change) {
  train::SavedModel model = whole_model(program);
  change(model);
  train::save_model(program.path("m.safetensors"), model);
}

// The same, but changed in its header.
template <class Change>
void plant_model_with_header(const Program& program, Change&& change) {
  plant_model(program, [](train::SavedModel&) {});
  const std::string bytes = read_file(program.path("m.safetensors"));
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  json header = json::parse(bytes.substr(sizeof length, length));
  change(header);
  program.plant("m.safetensors", safetensors(header.dump(), bytes.substr(sizeof length + length)));
}

// The files of a run of {}/tiny.toml that was killed when its two epochs were over: config.toml, log.txt and both checkpoints.
inline void plant_run(const Program& program) {
  const Ran ran = program.run(
      "train --quiet --backend eigen --threads 1 --model {}/tiny.toml --data synthetic:8x8x1:4:50:30 --epochs 2 --batch 16 --valid 0.2 "
      "--save-every '1 step' --keep best --out {}/run");
  if (ran.code != 0) throw std::runtime_error(ran.error);
  for (const char* last : {"run/result.json", "run/history.csv", "run/best.safetensors", "stderr"}) program.remove(last);
}

using Sections = std::vector<std::pair<std::string, std::string>>;

// The same, but with other sections in its checkpoint and without the older one. Their checksums are right.
template <class Change>
void plant_run_with_sections(const Program& program, Change&& change) {
  plant_run(program);
  const io::SectionFile file = io::SectionFile::read(program.path("run/last.ckpt"));
  Sections sections;
  for (const io::Section& section : file.sections())
    sections.emplace_back(section.name, std::string(reinterpret_cast<const char*>(section.bytes.data()), section.bytes.size()));
  change(sections);
  std::vector<io::Section> changed;
  for (const auto& [name, content] : sections) changed.push_back({name, std::as_bytes(std::span(content))});
  io::write_sections(program.path("run/last.ckpt"), changed);
  program.remove("run/previous.ckpt");
}

// A number in the header of a checkpoint, whose checksum is made right again.
template <class Number>
void put_in_header(std::string& checkpoint, size_t at, Number number) {
  std::memcpy(checkpoint.data() + at, &number, sizeof number);
  const uint32_t checksum = static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(checkpoint.data()), 28));
  std::memcpy(checkpoint.data() + 28, &checksum, sizeof checksum);
}

// A file of `size` bytes that takes no room on the disk and reads as zeros.
inline void plant_hole(const Program& program, const std::string& name, uint64_t size) {
  program.plant(name, "");
  std::filesystem::resize_file(program.path(name), size);
}

}  // namespace fovea::cli
