#include "fovea/io/sections.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/data/input_file.h"

namespace fovea::io {
namespace {

constexpr std::string_view magic =
    "\x89"
    "fovea\r\n";  // as PNG's: a transfer as text changes it
constexpr uint32_t version = 1;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t sections;
  uint64_t table_bytes;
  uint32_t table_checksum;
  uint32_t checksum;  // of what stands before it
};
static_assert(sizeof(Header) == 32);

struct Row {  // of the table; the name follows
  uint64_t bytes;
  uint32_t checksum;
  uint32_t name_bytes;
};
static_assert(sizeof(Row) == 16);

uint32_t checksum_of(std::string_view bytes) {
  return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}
std::string_view text_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
template <class Plain>
std::string_view bytes_of(const Plain& plain) {
  return {reinterpret_cast<const char*>(&plain), sizeof plain};
}

// Takes a file apart from its front; every length is held against what is left before it is used.
class Parser {
 public:
  Parser(std::string_view bytes, const std::string& name) : rest_(bytes), file_bytes_(bytes.size()), name_(name) {}
  Parser(std::string_view start, uint64_t file_bytes, const std::string& name) : rest_(start), file_bytes_(file_bytes), name_(name) {}

  Header take_header() {
    const std::string_view start = rest_;
    const Header header = take<Header>("header");
    if (std::string_view(header.magic, sizeof header.magic) != magic) refuse("it does not begin as one");
    if (header.checksum != checksum_of(start.substr(0, offsetof(Header, checksum)))) refuse("its header is damaged");
    if (header.version != version)
      throw Error(ErrorId::bad_checkpoint, fmt::format("the checkpoint has format {}, but this program reads {}", header.version, version))
          .at(name_);
    return header;
  }

  std::vector<Section> parse() {
    const Header header = take_header();
    std::string_view table = take(header.table_bytes, "table");
    if (header.table_checksum != checksum_of(table)) refuse("its table of sections is damaged");
    if (header.sections > table.size() / sizeof(Row)) refuse(fmt::format("its table has no room for {} sections", header.sections));
    std::vector<Section> sections;
    for (uint32_t i = 0; i < header.sections; ++i) sections.push_back(take_section(table));
    if (!table.empty()) refuse(fmt::format("{} bytes of its table belong to no section", table.size()));
    if (!rest_.empty()) refuse(fmt::format("{} bytes behind its last section belong to none", rest_.size()));
    return sections;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorId::bad_checkpoint, "this is no whole checkpoint: " + what)
        .at(name_)
        .note(fmt::format("the file has {} bytes", file_bytes_));
  }

  std::string_view take(uint64_t count, const std::string& what) {
    if (count > rest_.size()) refuse(fmt::format("its {} takes {} bytes, of which {} are there", what, count, rest_.size()));
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  template <class Plain>
  Plain take(const std::string& what) {
    Plain plain;
    std::memcpy(&plain, take(sizeof plain, what).data(), sizeof plain);
    return plain;
  }

  Section take_section(std::string_view& table) {
    Row row;
    if (table.size() < sizeof row) refuse("its table of sections ends too early");
    std::memcpy(&row, table.data(), sizeof row);
    table.remove_prefix(sizeof row);
    if (row.name_bytes > table.size()) refuse(fmt::format("the name of a section takes {} bytes", row.name_bytes));
    const std::string name(table.substr(0, row.name_bytes));
    table.remove_prefix(row.name_bytes);
    const std::string_view content = take(row.bytes, fmt::format("section `{}`", name));
    if (row.checksum != checksum_of(content)) refuse(fmt::format("its section `{}` is damaged", name));
    return {name, std::as_bytes(std::span(content))};
  }

  std::string_view rest_;
  uint64_t file_bytes_;
  const std::string& name_;
};

}  // namespace

size_t write_sections(const std::filesystem::path& path, const std::vector<Section>& sections, const std::filesystem::path& older) {
  std::string table;
  for (const Section& section : sections) {
    table += bytes_of(Row{section.bytes.size(), checksum_of(text_of(section.bytes)), static_cast<uint32_t>(section.name.size())});
    table += section.name;
  }
  Header header{{}, version, static_cast<uint32_t>(sections.size()), table.size(), checksum_of(table), 0};
  std::copy(magic.begin(), magic.end(), header.magic);
  header.checksum = checksum_of(bytes_of(header).substr(0, offsetof(Header, checksum)));

  std::vector<std::string_view> parts = {bytes_of(header), table};
  for (const Section& section : sections) parts.push_back(text_of(section.bytes));
  NewFile file(path);
  file.write(parts);
  file.put_in_place(older);
  size_t bytes = 0;
  for (const std::string_view part : parts) bytes += part.size();
  return bytes;
}

SectionFile SectionFile::parse(std::string bytes, const std::string& name) {
  SectionFile file;
  file.bytes_ = std::make_shared<const std::string>(std::move(bytes));
  file.sections_ = Parser(*file.bytes_, name).parse();
  return file;
}

SectionFile SectionFile::read(const std::filesystem::path& path) {
  const data::InputFile file(path);
  const auto read = [&](uint64_t count) {
    std::string bytes(count, '\0');
    file.read(0, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
    return bytes;
  };
  const uint64_t size = static_cast<uint64_t>(file.size());
  Parser(read(std::min<uint64_t>(size, sizeof(Header))), size, path.string()).take_header();  // of a large file only if it begins as one
  return parse(read(size), path.string());
}

const Section* SectionFile::find(std::string_view name) const {
  const auto found = std::ranges::find(sections_, name, &Section::name);
  return found == sections_.end() ? nullptr : &*found;
}

}  // namespace fovea::io
