// IDX files: images or labels, as given or put into gzip. The first byte says which.
#include "fovea/data/idx.h"

#include <zlib.h>

#include "tests/fuzz/input.h"

namespace fovea::fuzz {
namespace {

// A whole gzip file, checksum included, which a fuzzer would hardly hit upon.
std::string packed(Input input) {
  z_stream stream{};
  require(deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, static_cast<uLong>(input.size())), '\0');
  stream.next_in = const_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  require(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

void check(const data::Images& images) {
  require(images.count > 0 && images.h > 0 && images.w > 0 && images.c == 1);
  require(images.pixels.size() == static_cast<size_t>(images.count * images.image_bytes()));
}

}  // namespace
}  // namespace fovea::fuzz

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea::fuzz;
  if (size == 0) return 0;
  enum : uint8_t { as_gzip = 1, as_labels = 2 };
  const Input content(data + 1, size - 1);
  const MemoryFile file(data[0] & as_gzip ? bytes_of(packed(content)) : content);
  read_or_refuse([&] {
    if (data[0] & as_labels) {
      require(!fovea::data::read_idx_labels(file.path()).empty());
    } else {
      check(fovea::data::read_idx_images(file.path(), 1));
    }
  });
  return 0;
}
