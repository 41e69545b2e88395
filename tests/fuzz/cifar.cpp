// A folder of CIFAR-10 in which one batch and the names of the classes come from the input.
#include "fovea/data/cifar.h"

#include <fstream>

#include "tests/fuzz/input.h"

namespace fovea::fuzz {
namespace {

constexpr size_t record_bytes = 3073;

// Five whole batches of one record each; the sixth and the class names are to be written.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "fovea-fuzz-XXXXXX").string();
    require(::mkdtemp(name.data()) != nullptr);
    path_ = name;
    for (int i = 2; i <= 5; ++i) write("data_batch_" + std::to_string(i) + ".bin", std::string(record_bytes, '\1'));
    write("test_batch.bin", std::string(record_bytes, '\1'));
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

 private:
  std::filesystem::path path_;
};

// As long as the first two bytes say: the rest, over and over, so that few bytes make whole records.
std::string batch_of(Input input) {
  const size_t length = (size_t{input[0]} << 8 | input[1]) % (4 * record_bytes);
  const std::string_view pattern = text_of(input.subspan(2));
  std::string batch;
  while (batch.size() < length && !pattern.empty()) batch += pattern;
  batch.resize(length);
  return batch;
}

void check(const data::Images& images) {
  require(images.count > 0 && images.pixels.size() == static_cast<size_t>(images.count) * (record_bytes - 1));
  for (const int32_t label : images.labels) require(label >= 0 && label < 10);
}

}  // namespace
}  // namespace fovea::fuzz

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea::fuzz;
  if (size < 3) return 0;
  static const Folder folder;
  const Input names(data + 1, std::min<size_t>(data[0], size - 3)), batch(data + 1 + names.size(), size - 1 - names.size());
  folder.write("batches.meta.txt", text_of(names));
  folder.write("data_batch_1.bin", batch_of(batch));
  if (names.empty()) std::filesystem::remove(folder.path() / "batches.meta.txt");
  read_or_refuse([&] {
    const fovea::data::Dataset dataset = fovea::data::cifar10(folder.path(), 1);
    require(dataset.classes.size() == 10);
    check(dataset.train);
    check(dataset.test);
  });
  return 0;
}
