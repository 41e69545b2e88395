// Files that come back as they were written, and damaged ones that are refused.
#include "fovea/io/safetensors.h"

#include <cstring>

#include "fovea/base/file.h"
#include "fovea/base/philox.h"
#include "tests/data/data_folder.h"

namespace fovea::io {
namespace {

using data::DataFolder;
using data::error_text;

NamedTensor tensor(const std::string& name, DType dtype, const Shape& shape) {
  NamedTensor tensor{name, dtype, shape, std::vector<std::byte>(static_cast<size_t>(shape.elements()) * bytes_of(dtype))};
  for (size_t i = 0; i < tensor.bytes.size(); ++i) tensor.bytes[i] = static_cast<std::byte>(i * 7 + name.size());
  return tensor;
}

Safetensors content() {
  return {{{"format", "test"}, {"text", "two\nlines, \"quoted\""}},
          {tensor("z.weight", DType::f32, {3, 2, 2, 1}), tensor("a", DType::f64, {2}), tensor("m", DType::u8, {3}),
           tensor("n", DType::u16, {1, 1}), tensor("scalar", DType::i32, {})}};
}

std::string file_of(const Safetensors& content) {
  const DataFolder folder;
  write_safetensors(folder.path() / "a.safetensors", content);
  return read_file(folder.path() / "a.safetensors");
}

// A file with this header and this many bytes of data.
std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data_bytes, 'd');
}

std::string one_tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"t":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

void expect_same(const Safetensors& a, const Safetensors& b) {
  EXPECT_EQ(a.metadata, b.metadata);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].name, b.tensors[i].name);
    EXPECT_EQ(a.tensors[i].dtype, b.tensors[i].dtype);
    EXPECT_EQ(a.tensors[i].shape, b.tensors[i].shape);
    EXPECT_EQ(a.tensors[i].bytes, b.tensors[i].bytes);
  }
}

TEST(Safetensors, ComeBackAsTheyWereWritten) {
  const std::string bytes = file_of(content());
  expect_same(parse_safetensors(bytes, "a"), content());
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ(header % 8, 0u);  // the data are aligned
  EXPECT_NE(parse_safetensors(bytes, "a").find("scalar"), nullptr);
  EXPECT_EQ(parse_safetensors(bytes, "a").find("z"), nullptr);
}

TEST(Safetensors, WithoutTensorsOrMetadataAreWhole) {
  expect_same(parse_safetensors(file_of(Safetensors{}), "a"), {});
  expect_same(parse_safetensors(file_of("{}", 0), "a"), {});
}

TEST(Safetensors, TakeMetadataThatAreNotUtf8) {
  EXPECT_EQ(parse_safetensors(file_of(Safetensors{{{"text", "caf\xe9"}}, {}}), "a").metadata["text"], "caf\xef\xbf\xbd");
}

// The order of the header does not count, that of the data does.
TEST(Safetensors, AreInTheOrderOfTheData) {
  const std::string header =
      R"({"second":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},"first":{"dtype":"U16","shape":[1],"data_offsets":[0,2]}})";
  const Safetensors read = parse_safetensors(file_of(header, 3), "a");
  ASSERT_EQ(read.tensors.size(), 2u);
  EXPECT_EQ(read.tensors[0].name, "first");
  EXPECT_EQ(read.tensors[1].name, "second");
}

TEST(Safetensors, CutOffAnywhereAreRefused) {
  const std::string bytes = file_of(content());
  for (size_t length = 0; length < bytes.size(); ++length)
    error_text(ExitCode::data, [&] { parse_safetensors(std::string_view(bytes).substr(0, length), "a"); });
}

TEST(Safetensors, OfAnUnknownTypeNameTheType) {
  const std::string text =
      error_text(ExitCode::data, [] { parse_safetensors(file_of(one_tensor(R"("BF16")", "[1]", "[0,2]"), 2), "a.st"); });
  EXPECT_NE(text.find("`t` is of type BF16"), std::string::npos) << text;
  EXPECT_NE(text.find("--> a.st"), std::string::npos) << text;
}

TEST(Safetensors, WithALyingHeaderAreRefused) {
  std::vector<std::string> damaged = {
      file_of("", 0),
      file_of("no JSON", 8),
      file_of("[1]", 0),
      file_of("null", 0),
      file_of("{", 0),
      file_of("{}}", 0),
      file_of("{\"t\":{\"\xff\":1}}", 0),
      file_of(std::string(50'000, '['), 0),
      file_of(R"({"__metadata__":[]})", 0),
      file_of(R"({"__metadata__":{"a":1}})", 0),
      file_of(R"({"t":[]})", 0),
      file_of(R"({"t":{}})", 0),
      file_of(R"({"t":null})", 0),
      file_of(one_tensor(R"("F32")", "[1]", "[0,8]"), 8),  // longer than its shape
      file_of(one_tensor(R"("F32")", "[2]", "[0,4]"), 4),  // shorter than its shape
      file_of(one_tensor(R"("F32")", "[1]", "[4,8]"), 4),  // beyond the end
      file_of(one_tensor(R"("F32")", "[1]", "[4,0]"), 8),  // backwards
      file_of(one_tensor(R"("F32")", "[1]", "[0,4]"), 8),  // data that nobody claims behind it
      file_of(one_tensor(R"("F32")", "[1]", "[4,8]"), 8),  // and before it
      file_of(one_tensor(R"("F32")", "[1]", "[0]"), 4),
      file_of(one_tensor(R"("F32")", "[1]", "[0,4,4]"), 4),
      file_of(one_tensor(R"("F32")", "[1]", "[0,4.0]"), 4),
      file_of(one_tensor(R"("F32")", "[1]", "[-4,0]"), 4),
      file_of(one_tensor(R"("F32")", "[1]", R"("0,4")"), 4),
      file_of(one_tensor(R"("F32")", "[-1]", "[0,4]"), 4),
      file_of(one_tensor(R"("F32")", "[0]", "[0,0]"), 0),
      file_of(one_tensor(R"("F32")", "[1.0]", "[0,4]"), 4),
      file_of(one_tensor(R"("F32")", "1", "[0,4]"), 4),
      file_of(one_tensor(R"("F32")", "[1,1,1,1,1,1]", "[0,4]"), 4),
      file_of(one_tensor(R"("F32")", "[4611686018427387904,8]", "[0,0]"), 4),  // 2^62 x 8
      file_of(one_tensor(R"("F32")", "[4611686018427387904,4]", "[0,0]"), 4),  // 0 bytes modulo 2^64
      file_of(one_tensor(R"("U8")", "[18446744073709551615]", "[0,18446744073709551615]"), 4),
      file_of(one_tensor(R"("U8")", "[18446744073709551616]", "[0,4]"), 4),
      file_of(one_tensor(R"("U8")", "[100,100,100,100]", "[0,100000000]"), 4),
      file_of(one_tensor(R"("F32")", "[1]", "[18446744073709551612,0]"), 4),
      file_of(one_tensor("32", "[1]", "[0,4]"), 4),
      file_of(one_tensor(R"("f32")", "[1]", "[0,4]"), 4),
      // two tensors over the same bytes, half over each other, and with a hole between
      file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8),
      file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})", 8),
      file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})", 3),
  };
  for (const uint64_t length : {uint64_t{9}, uint64_t{1} << 20, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    std::string bytes(16, ' ');
    std::memcpy(bytes.data(), &length, 8);
    damaged.push_back(bytes);
  }
  for (const std::string& bytes : damaged) {
    const std::string text = error_text(ExitCode::data, [&] { parse_safetensors(bytes, "a.safetensors"); });
    EXPECT_NE(text.find("--> a.safetensors"), std::string::npos) << bytes.substr(8);
  }
}

// Up to four bytes changed at random: read in some way or refused, and never more bytes than there are.
TEST(Safetensors, WithRandomBytesChangedNeverDoHarm) {
  const std::string whole = file_of(content());
  int refused = 0;
  for (uint32_t i = 0; i < 2000; ++i) {
    std::string bytes = whole;
    const Random4 places = philox(1, Draw::test, i, 0, 0), values = philox(1, Draw::test, i, 1, 0);
    for (size_t change = 0; change <= i % 4; ++change)
      bytes[to_below(places.v[change], static_cast<uint32_t>(bytes.size()))] = static_cast<char>(values.v[change]);
    try {
      size_t total = 0;
      for (const NamedTensor& tensor : parse_safetensors(bytes, "a").tensors) total += tensor.bytes.size();
      EXPECT_LE(total, bytes.size());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace fovea::io
