// IDX reader: plain files straight into their final place on all cores, gzip files inflated straight into it.
#include "fovea/data/idx.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>

#include "fovea/base/error.h"
#include "fovea/base/thread.h"
#include "fovea/data/input_file.h"

namespace fovea::data {
namespace {

// The bytes of a file after decompression, front to back.
class Source {
 public:
  virtual ~Source() = default;
  virtual void read(std::span<uint8_t> out) = 0;  // throws Error where the bytes end before
  virtual int64_t most() const = 0;               // no more bytes than this can come in all
  virtual int64_t at_least() const = 0;           // so much memory may be taken before the bytes have come
  virtual void expect_end() = 0;                  // throws Error unless all has been read
};

class PlainSource : public Source {
 public:
  PlainSource(const InputFile& file, int threads) : file_(file), threads_(threads) {}

  void read(std::span<uint8_t> out) override {
    constexpr size_t part = 1 << 20;
    const int64_t parts = static_cast<int64_t>((out.size() + part - 1) / part);
    parallel_for(parts, threads_, [&](int64_t begin, int64_t end) {
      const size_t first = static_cast<size_t>(begin) * part, last = std::min(static_cast<size_t>(end) * part, out.size());
      file_.read(at_ + static_cast<int64_t>(first), out.subspan(first, last - first));
    });
    at_ += static_cast<int64_t>(out.size());
  }
  int64_t most() const override { return file_.size(); }
  int64_t at_least() const override { return file_.size(); }
  void expect_end() override {
    if (at_ == file_.size()) return;
    throw Error(ErrorId::idx_length, fmt::format("`{}` goes on for {} bytes after its end", file_.path().string(), file_.size() - at_))
        .help("the file is damaged: download it again");
  }

 private:
  const InputFile& file_;
  int threads_;
  int64_t at_ = 0;
};

class GzipSource : public Source {
 public:
  explicit GzipSource(const InputFile& file) : file_(file), packed_(size_t{1} << 20) {
    constexpr int gzip_only = 16 + MAX_WBITS;
    if (inflateInit2(&stream_, gzip_only) != Z_OK) throw Error(ErrorId::memory, "no memory to decompress a gzip file");
  }
  ~GzipSource() override { inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  void read(std::span<uint8_t> out) override {
    if (inflate_into(out) < out.size()) throw damaged("the data end too early");
  }
  int64_t most() const override {  // the format cannot express more than 1,032 bytes in one
    constexpr int64_t best_ratio = 1032;
    return std::min(file_.size(), INT64_MAX / best_ratio) * best_ratio;
  }
  int64_t at_least() const override { return int64_t{64} << 20; }
  void expect_end() override {
    uint8_t beyond = 0;
    if (inflate_into({&beyond, 1}) > 0) throw damaged("it goes on after the end that its header states");
  }

 private:
  // Returns how many bytes came: less than asked for only at the end of the last member, its checksum having been verified.
  size_t inflate_into(std::span<uint8_t> out) {
    constexpr size_t most_at_once = 1 << 30;
    size_t filled = 0;
    while (filled < out.size()) {
      if (left_.empty()) refill();
      const size_t give = left_.size(), take = std::min(out.size() - filled, most_at_once);
      stream_.next_in = left_.data();
      stream_.avail_in = static_cast<uInt>(give);
      stream_.next_out = out.data() + filled;
      stream_.avail_out = static_cast<uInt>(take);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      left_ = left_.subspan(give - stream_.avail_in);
      filled += take - stream_.avail_out;
      if (status == Z_STREAM_END) {
        if (left_.empty()) refill();
        if (left_.empty()) return filled;
        inflateReset(&stream_);  // members may follow one another
      } else if (status == Z_BUF_ERROR || (status == Z_OK && left_.empty() && at_ == file_.size() && filled < out.size())) {
        throw damaged("the compressed data end too early");
      } else if (status != Z_OK) {
        throw damaged(stream_.msg ? stream_.msg : "zlib cannot decompress it");
      }
    }
    return filled;
  }
  void refill() {
    left_ = std::span(packed_).first(static_cast<size_t>(std::min<int64_t>(std::ssize(packed_), file_.size() - at_)));
    file_.read(at_, left_);
    at_ += std::ssize(left_);
  }
  Error damaged(std::string_view cause) const {
    return std::move(Error(ErrorId::bad_gzip, fmt::format("the gzip file `{}` is damaged: {}", file_.path().string(), cause))
                         .help("download it again; `gzip -t` tests it"));
  }

  const InputFile& file_;
  int64_t at_ = 0;
  Pixels packed_;
  std::span<uint8_t> left_;
  z_stream stream_{};
};

std::unique_ptr<Source> open_source(const InputFile& file, int threads) {
  std::array<uint8_t, 2> start{};
  if (file.size() >= 2) file.read(0, start);
  if (start == std::array<uint8_t, 2>{0x1f, 0x8b}) return std::make_unique<GzipSource>(file);
  return std::make_unique<PlainSource>(file, threads);
}

uint32_t big_endian(std::span<const uint8_t> bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

// The sizes in the header, checked against what the file can hold.
template <size_t rank>
std::array<int64_t, rank> read_sizes(const InputFile& file, Source& source, std::string_view what) {
  const std::string name = file.path().string();
  std::array<uint8_t, 4 + 4 * rank> header;
  const int64_t header_bytes = static_cast<int64_t>(header.size());
  if (source.most() < header_bytes) {
    throw Error(ErrorId::idx_length, fmt::format("`{}` is too short for an IDX file: {} bytes", name, file.size()))
        .help("download it again");
  }
  source.read(header);
  const uint32_t magic = big_endian(header), expected = 0x00000800 + static_cast<uint32_t>(rank);
  if (magic != expected) {
    throw Error(ErrorId::not_idx,
                fmt::format("`{}` is not an IDX file of {}: its magic number is {:#010x}, not {:#010x}", name, what, magic, expected))
        .help("check that the files of images and labels are what their names say");
  }
  std::array<int64_t, rank> sizes;
  int64_t bytes = 1;
  bool overflow = false;
  for (size_t i = 0; i < rank; ++i) {
    sizes[i] = big_endian(std::span(header).subspan(4 + 4 * i));
    overflow = __builtin_mul_overflow(bytes, sizes[i], &bytes) || overflow;
  }
  const std::string promise = fmt::format("{}", fmt::join(sizes, " x "));
  if (overflow || bytes > source.most() - header_bytes) {
    throw Error(ErrorId::idx_length,
                fmt::format("`{}` is cut short, or its header is wrong: it promises {} bytes of {}", name, promise, what))
        .note(fmt::format("the file has {} bytes", file.size()))
        .help("download it again");
  }
  if (bytes == 0) throw Error(ErrorId::empty_data, fmt::format("`{}` holds no {}: its sizes are {}", name, what, promise));
  return sizes;
}

// What a header promises is believed no further than twice of what has come.
Pixels read_all(const InputFile& file, Source& source, int64_t bytes) {
  try {
    Pixels pixels;
    while (std::ssize(pixels) < bytes) {
      const size_t filled = pixels.size();
      pixels.resize(static_cast<size_t>(std::min(bytes, std::max(2 * std::ssize(pixels), source.at_least()))));
      source.read(std::span(pixels).subspan(filled));
    }
    return pixels;
  } catch (const std::bad_alloc&) {
    throw Error(ErrorId::no_memory_for_images, fmt::format("no memory for the {} bytes that `{}` holds", bytes, file.path().string()));
  }
}

}  // namespace

Images read_idx_images(const std::filesystem::path& path, int threads) {
  const InputFile file(path);
  const std::unique_ptr<Source> source = open_source(file, threads);
  const auto [count, h, w] = read_sizes<3>(file, *source, "images");
  Images images{.count = count, .h = h, .w = w, .c = 1, .pixels = read_all(file, *source, count * h * w), .labels = {}};
  source->expect_end();
  return images;
}

std::vector<int32_t> read_idx_labels(const std::filesystem::path& path) {
  const InputFile file(path);
  const std::unique_ptr<Source> source = open_source(file, 1);
  const auto [count] = read_sizes<1>(file, *source, "labels");
  const Pixels bytes = read_all(file, *source, count);
  source->expect_end();
  return {bytes.begin(), bytes.end()};
}

}  // namespace fovea::data
