#include "fovea/io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/data/input_file.h"

namespace fovea::io {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t length_bytes = 8;
constexpr size_t largest_header = size_t{100} << 20;  // the limit of the format's own implementation

constexpr std::array<std::pair<DType, std::string_view>, 5> dtypes = {
    {{DType::f32, "F32"}, {DType::f64, "F64"}, {DType::u8, "U8"}, {DType::u16, "U16"}, {DType::i32, "I32"}}};

std::string_view format_name(DType dtype) {
  for (const auto& [known, name] : dtypes)
    if (known == dtype) return name;
  throw Error(ExitCode::internal, fmt::format("safetensors has no type for {}", fovea::name_of(dtype)));
}

// A tensor without its bytes yet, and where in the data they are.
struct Entry {
  NamedTensor tensor;
  uint64_t begin = 0, end = 0;

  std::span<std::byte> room() {
    tensor.bytes.resize(end - begin);
    return tensor.bytes;
  }
};

// Reads one file's header; every claim that it makes is checked against the length of the file.
class Parser {
 public:
  Parser(uint64_t file_bytes, const std::string& name) : file_bytes_(file_bytes), name_(name) {}

  // How many bytes the header has, from the bytes that the file begins with.
  size_t header_bytes(std::span<const uint8_t> start) const {
    if (start.size() < length_bytes) refuse("it ends before the length of its header");
    uint64_t length = 0;
    std::memcpy(&length, start.data(), length_bytes);
    if (length > largest_header || length > file_bytes_ - length_bytes) refuse(fmt::format("it gives its header {} bytes", length));
    return length;
  }

  std::map<std::string, std::string> parse(std::string_view header_text, std::vector<Entry>& entries) {
    data_bytes_ = file_bytes_ - length_bytes - header_text.size();
    const Json header = parse_header(header_text);
    std::map<std::string, std::string> metadata;
    for (const auto& [key, entry] : header.items()) {
      if (key == "__metadata__") {
        for (const auto& [name, value] : entry.items()) {
          if (!value.is_string()) refuse(fmt::format("the metadata `{}` is not a text", name));
          metadata[name] = value.get<std::string>();
        }
      } else {
        entries.push_back(read_entry(key, entry));
      }
    }
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.begin < b.begin; });
    check_gapless(entries);
    return metadata;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorId::bad_safetensors, fmt::format("this is no whole safetensors file: {}", what))
        .at(name_)
        .note(fmt::format("the file has {} bytes", file_bytes_));
  }

  Json parse_header(std::string_view text) const {
    Json header = Json::parse(text, nullptr, false);
    if (!header.is_object() || (header.contains("__metadata__") && !header["__metadata__"].is_object()))
      refuse("its header is not a JSON object");
    return header;
  }

  Entry read_entry(const std::string& name, const Json& entry) const {
    const auto is_list = [&](const char* key) {
      return entry.is_object() && entry.contains(key) && entry[key].is_array() &&
             std::all_of(entry[key].begin(), entry[key].end(), [](const Json& size) { return size.is_number_unsigned(); });
    };
    if (!is_list("shape") || !is_list("data_offsets") || entry["data_offsets"].size() != 2 || !entry.contains("dtype") ||
        !entry["dtype"].is_string())
      refuse(fmt::format("tensor `{}` lacks a proper dtype, shape or data_offsets", name));
    NamedTensor tensor;
    tensor.name = name;
    tensor.dtype = dtype_named(entry["dtype"].get<std::string>(), name);
    tensor.shape = shape_of(entry["shape"], name);
    const uint64_t begin = entry["data_offsets"][0].get<uint64_t>(), end = entry["data_offsets"][1].get<uint64_t>();
    if (static_cast<uint64_t>(tensor.shape.elements()) > data_bytes_)
      refuse(fmt::format("tensor `{}` has more elements than the file bytes", name));
    const uint64_t asked = static_cast<uint64_t>(tensor.shape.elements()) * bytes_of(tensor.dtype);
    if (begin > end || end > data_bytes_ || end - begin != asked)
      refuse(fmt::format("tensor `{}` of {} bytes claims bytes {} to {} of {}", name, asked, begin, end, data_bytes_));
    return {std::move(tensor), begin, end};
  }

  // The format asks that the tensors cover all of the data, each byte once.
  void check_gapless(std::span<const Entry> entries) const {
    uint64_t covered = 0;
    for (const Entry& entry : entries) {
      if (entry.begin != covered)
        refuse(fmt::format("tensor `{}` begins at byte {} of the data, but those before it end at {}", entry.tensor.name, entry.begin,
                           covered));
      covered = entry.end;
    }
    if (covered != data_bytes_) refuse(fmt::format("its tensors end at byte {} of {} bytes of data", covered, data_bytes_));
  }

  DType dtype_named(const std::string& dtype, const std::string& name) const {
    for (const auto& [known, format] : dtypes)
      if (format == dtype) return known;
    throw Error(ErrorId::tensor_type, fmt::format("tensor `{}` is of type {}; this program reads F32, F64, U8, U16 and I32", name, dtype))
        .at(name_);
  }

  Shape shape_of(const Json& sizes, const std::string& name) const {
    std::array<int64_t, Shape::max_rank> s{};
    if (sizes.size() > s.size()) refuse(fmt::format("tensor `{}` has {} axes; at most {} are read", name, sizes.size(), s.size()));
    for (size_t i = 0; i < sizes.size(); ++i) {
      const uint64_t size = sizes[i].get<uint64_t>();
      if (size == 0 || size > file_bytes_) refuse(fmt::format("tensor `{}` has a size of {}", name, size));
      s[i] = static_cast<int64_t>(size);
    }
    try {
      return Shape(std::span(s).first(sizes.size()));
    } catch (const Error& error) {
      refuse(error.message());
    }
  }

  uint64_t file_bytes_, data_bytes_ = 0;
  const std::string& name_;
};

// `read(offset, room)` fills the room with the file's bytes from there on.
template <class Read>
Safetensors read_content(uint64_t file_bytes, const std::string& name, Read&& read) {
  Parser parser(file_bytes, name);
  std::vector<uint8_t> start(std::min<uint64_t>(length_bytes, file_bytes));
  read(0, std::as_writable_bytes(std::span(start)));
  std::string header(parser.header_bytes(start), '\0');
  read(length_bytes, std::as_writable_bytes(std::span(header)));
  std::vector<Entry> entries;
  Safetensors content;
  content.metadata = parser.parse(header, entries);
  for (Entry& entry : entries) {
    read(length_bytes + header.size() + entry.begin, entry.room());
    content.tensors.push_back(std::move(entry.tensor));
  }
  return content;
}

}  // namespace

const NamedTensor* Safetensors::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

void write_safetensors(const std::filesystem::path& path, const Safetensors& content) {
  Json header;
  header["__metadata__"] = content.metadata;
  size_t offset = 0;
  for (const NamedTensor& tensor : content.tensors) {
    Json shape = Json::array();
    for (int axis = 0; axis < tensor.shape.rank(); ++axis) shape.push_back(tensor.shape[axis]);
    header[tensor.name] = {
        {"dtype", format_name(tensor.dtype)}, {"shape", shape}, {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);    // JSON is UTF-8
  text.resize((text.size() + length_bytes - 1) / length_bytes * length_bytes, ' ');  // so that the data begin at a multiple of 8
  const uint64_t length = text.size();
  std::string file(length_bytes, '\0');
  std::memcpy(file.data(), &length, length_bytes);
  file += text;
  for (const NamedTensor& tensor : content.tensors) file.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  replace_file(path, file);
}

Safetensors read_safetensors(const std::filesystem::path& path) {
  const data::InputFile file(path);
  return read_content(static_cast<uint64_t>(file.size()), path.string(), [&](uint64_t offset, std::span<std::byte> room) {
    file.read(static_cast<int64_t>(offset), {reinterpret_cast<uint8_t*>(room.data()), room.size()});
  });
}

Safetensors parse_safetensors(std::string_view bytes, const std::string& name) {
  return read_content(bytes.size(), name, [&](uint64_t offset, std::span<std::byte> room) {
    std::ranges::copy(std::as_bytes(std::span(bytes)).subspan(offset, room.size()), room.begin());
  });
}

}  // namespace fovea::io
