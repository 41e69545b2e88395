// Sections that come back as they were written; whatever else stands in the file is refused.
#include "fovea/io/sections.h"

#include <zlib.h>

#include <cstring>

#include "fovea/base/file.h"
#include "tests/data/data_folder.h"

namespace fovea::io {
namespace {

using data::DataFolder;
using data::error_text;

const std::string first = "some text", second(5000, 'x'), none;

std::string three_sections() {
  const DataFolder folder;
  const std::filesystem::path file = folder.path() / "a";
  const auto bytes = [](const std::string& text) { return std::as_bytes(std::span(text)); };
  const size_t written = write_sections(file, {{"first", bytes(first)}, {"second one", bytes(second)}, {"none", bytes(none)}});
  EXPECT_EQ(written, std::filesystem::file_size(file));
  return read_file(file);
}

std::string text_of(const Section& section) { return {reinterpret_cast<const char*>(section.bytes.data()), section.bytes.size()}; }

TEST(Sections, ComeBackAsTheyWereWritten) {
  SectionFile file = SectionFile::parse(three_sections(), "a");
  const SectionFile moved = std::move(file);
  ASSERT_EQ(moved.sections().size(), 3u);
  EXPECT_EQ(text_of(*moved.find("first")), first);
  EXPECT_EQ(text_of(*moved.find("second one")), second);
  EXPECT_EQ(text_of(*moved.find("none")), "");
  EXPECT_EQ(moved.find("fourth"), nullptr);
}

TEST(Sections, KeepTheOlderFile) {
  const DataFolder folder;
  const std::filesystem::path file = folder.path() / "a", older = folder.path() / "b";
  write_sections(file, {{"1", {}}}, older);
  EXPECT_FALSE(std::filesystem::exists(older));
  write_sections(file, {{"2", {}}}, older);
  write_sections(file, {{"3", {}}}, older);
  EXPECT_NE(SectionFile::read(file).find("3"), nullptr);
  EXPECT_NE(SectionFile::read(older).find("2"), nullptr);
}

TEST(Sections, WithAFlippedBitAreRefusedWhereverItIs) {
  const std::string whole = three_sections();
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    const std::string text = error_text(ExitCode::data, [&] { SectionFile::parse(damaged, "some/file"); });
    ASSERT_NE(text.find("some/file"), std::string::npos) << bit;
  }
}

TEST(Sections, CutOffOrContinuedAreRefused) {
  const std::string whole = three_sections();
  for (size_t length = 0; length < whole.size(); ++length)
    error_text(ExitCode::data, [&] { SectionFile::parse(whole.substr(0, length), "a"); });
  error_text(ExitCode::data, [&] { SectionFile::parse(whole + "y", "a"); });
}

// A header and a table with right checksums that claim what is not there.
std::string claiming(uint32_t sections, uint64_t table_bytes, uint64_t section_bytes, uint32_t name_bytes) {
  struct {
    uint64_t bytes;
    uint32_t checksum, name_bytes;
  } row = {section_bytes, 0, name_bytes};
  const auto checksum = [](const void* bytes, size_t count) {
    return static_cast<uint32_t>(crc32_z(0, static_cast<const Bytef*>(bytes), count));
  };
  struct {
    char magic[8];
    uint32_t version, sections;
    uint64_t table_bytes;
    uint32_t table_checksum, checksum;
  } header = {{'\x89', 'f', 'o', 'v', 'e', 'a', '\r', '\n'}, 1, sections, table_bytes, checksum(&row, sizeof row), 0};
  header.checksum = checksum(&header, 28);
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + std::string(reinterpret_cast<const char*>(&row), sizeof row);
}

TEST(Sections, ThatLieAboutTheirLengthsAreRefused) {
  EXPECT_EQ(SectionFile::parse(claiming(1, 16, 0, 0), "a").sections().size(), 1u);
  const auto refused = [](const std::string& bytes) { return error_text(ExitCode::data, [&] { SectionFile::parse(bytes, "a"); }); };
  for (const uint64_t lie : {uint64_t{1}, uint64_t{1} << 40, UINT64_MAX})
    EXPECT_NE(refused(claiming(1, 16, lie, 0)).find("takes"), std::string::npos);
  for (const uint64_t lie : {uint64_t{17}, uint64_t{1} << 40, UINT64_MAX})
    EXPECT_NE(refused(claiming(1, lie, 0, 0)).find("table"), std::string::npos);
  for (const uint32_t lie : {1u, UINT32_MAX}) EXPECT_NE(refused(claiming(1, 16, 0, lie)).find("name"), std::string::npos);
  for (const uint32_t lie : {2u, UINT32_MAX}) EXPECT_NE(refused(claiming(lie, 16, 0, 0)).find("no room"), std::string::npos);
  EXPECT_NE(refused(claiming(0, 16, 0, 0)).find("belong to no section"), std::string::npos);
}

TEST(Sections, OfAnotherFormatAreRefusedByItsNumber) {
  std::string newer = three_sections();
  newer[8] = 9;
  const uint32_t checksum = static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(newer.data()), 28));
  std::memcpy(newer.data() + 28, &checksum, sizeof checksum);
  EXPECT_NE(error_text(ExitCode::data, [&] { SectionFile::parse(newer, "a"); }).find("format 9"), std::string::npos);
}

}  // namespace
}  // namespace fovea::io
