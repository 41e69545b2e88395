// Data sets that are cut, lie, are mixed up or cannot be read, given to the real program.
#include <sys/stat.h>

#include "tests/cli/bad_input.h"

namespace fovea::cli {
namespace {

namespace fs = std::filesystem;

class BadData : public testing::TestWithParam<BadInput> {};

TEST_P(BadData, IsRefused) { expect_refused(GetParam()); }

// What the cases below change for the worse is right by itself.
TEST(WholeData, IsTaken) {
  const Program program;
  plant_mnist(program);
  plant_cifar(program);
  plant_model(program, [](train::SavedModel&) {});
  for (const std::string command : {"train --quiet --backend eigen --out {}/a --model {}/ten.toml --data mnist:{}/mnist",
                                    "train --quiet --backend eigen --out {}/b --model {}/rgb.toml --data cifar10:{}/cifar",
                                    "eval {}/m.safetensors --backend eigen --data synthetic:8x8x1:4:10:10"}) {
    const Limited ran = run_limited(program, command);
    EXPECT_EQ(ran.code, 0) << ran.error;
  }
}

const std::string on_mnist = to_out + "--model {}/ten.toml --data mnist:{}/mnist";
const std::string on_cifar = to_out + "--model {}/rgb.toml --data cifar10:{}/cifar";
const std::string train_images = "mnist/train-images-idx3-ubyte", train_labels = "mnist/train-labels-idx1-ubyte";
const std::string test_images = "mnist/t10k-images-idx3-ubyte", test_labels = "mnist/t10k-labels-idx1-ubyte";

// MNIST in which one file holds something else.
Plant mnist_with(std::string file, std::string bytes) {
  return [=](const Program& program) {
    plant_mnist(program);
    program.plant(file, bytes);
  };
}
Plant mnist_packed(std::string bytes) {
  return [=](const Program& program) {
    plant_mnist(program);
    program.remove(train_images);
    program.plant(train_images + ".gz", bytes);
  };
}
Plant mnist_then(Plant change) {
  return [=](const Program& program) {
    plant_mnist(program);
    change(program);
  };
}
Plant cifar_with(std::string file, std::string bytes) {
  return [=](const Program& program) {
    plant_cifar(program);
    program.plant("cifar/" + file, bytes);
  };
}
Plant cifar_then(Plant change) {
  return [=](const Program& program) {
    plant_cifar(program);
    change(program);
  };
}
std::string cut(std::string bytes, size_t end) { return bytes.substr(0, end); }
std::string damaged(std::string bytes, size_t at) {
  bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
  return bytes;
}

const std::string packed_images = gzip(images(12, 8));

INSTANTIATE_TEST_SUITE_P(
    Idx, BadData,
    testing::Values(
        BadInput{"cut short",
                 mnist_with(train_images, cut(images(12, 8), 700)),
                 on_mnist,
                 4,
                 {"E0304", train_images, "12 x 8 x 8", "700 bytes"}},
        BadInput{"goes on", mnist_with(test_images, images(4, 8) + "more"), on_mnist, 4, {"E0304", test_images, "4 bytes"}},
        BadInput{"promises 2^96 bytes",
                 mnist_with(train_images, idx(0x803, {~0u, ~0u, ~0u}, "x")),
                 on_mnist,
                 4,
                 {"E0304", train_images, "4294967295 x 4294967295 x 4294967295", "17 bytes"}},
        BadInput{
            "promises 16 GiB", mnist_with(train_images, idx(0x803, {65536, 512, 512}, "x")), on_mnist, 4, {"E0304", "65536 x 512 x 512"}},
        BadInput{"promises 0 bytes modulo 2^64",
                 mnist_with(train_images, idx(0x803, {1u << 31, 1u << 31, 4}, "")),
                 on_mnist,
                 4,
                 {"E0304", "2147483648 x 2147483648 x 4"}},
        BadInput{"no images", mnist_with(train_images, idx(0x803, {0, 8, 8}, "")), on_mnist, 4, {"E0306", train_images, "0 x 8 x 8"}},
        BadInput{"images without pixels", mnist_with(train_images, idx(0x803, {12, 0, 8}, "")), on_mnist, 4, {"E0306", "12 x 0 x 8"}},
        BadInput{"no labels", mnist_with(test_labels, labels(0)), on_mnist, 4, {"E0306", test_labels, "0"}},
        BadInput{"swapped files", mnist_with(train_images, labels(12)), on_mnist, 4, {"E0303", train_images, "0x00000801", "0x00000803"}},
        BadInput{"text", mnist_with(test_labels, "these are no labels"), on_mnist, 4, {"E0303", test_labels, "0x74686573"}},
        BadInput{"empty file", mnist_with(train_images, ""), on_mnist, 4, {"E0304", train_images, "0 bytes"}},
        BadInput{"cut in its header", mnist_with(train_labels, cut(labels(12), 7)), on_mnist, 4, {"E0304", train_labels, "7 bytes"}},
        BadInput{"labels cut short", mnist_with(train_labels, cut(labels(12), 15)), on_mnist, 4, {"E0304", train_labels, "15 bytes"}},
        BadInput{"fewer labels than images",
                 mnist_with(train_labels, labels(11)),
                 on_mnist,
                 4,
                 {"E0307", train_images, train_labels, "12 images", "11 labels"}},
        BadInput{
            "test images of another size", mnist_with(test_images, images(4, 9)), on_mnist, 4, {"E0307", test_images, "8 x 8", "9 x 9"}},
        BadInput{"a label only in the test", mnist_with(test_labels, labels(4, 12)), on_mnist, 4, {"E0307", test_labels, "label 12"}},
        BadInput{"more labels than the network has",
                 mnist_with(train_labels, labels(12, 99)),
                 on_mnist,
                 3,
                 {"E0212", "ten.toml", "100 classes"}},
        BadInput{"a file is missing",
                 mnist_then([](const Program& p) { p.remove(test_labels); }),
                 on_mnist,
                 4,
                 {"E0302", "/mnist", "lacks t10k-labels-idx1-ubyte"}},
        BadInput{"no folder", nothing, on_mnist, 3, {"E0206", "ten.toml"}},
        BadInput{"no data folder", nothing, to_out + "--model {}/tiny.toml --data mnist:{}/absent", 4, {"E0302", "/absent", "no folder"}},
        BadInput{"the folder is a file",
                 file("mnist", "x"),
                 to_out + "--model {}/tiny.toml --data mnist:{}/mnist",
                 4,
                 {"E0302", "/mnist", "Not a directory"}},
        BadInput{"a folder that cannot be looked into",
                 mnist_then([](const Program& p) { fs::permissions(p.path("mnist"), fs::perms::none); }),
                 on_mnist,
                 4,
                 {"E0302", "/mnist", "Permission denied"}},
        BadInput{"a folder name too long",
                 nothing,
                 to_out + "--model {}/tiny.toml --data mnist:{}/" + std::string(300, 'm'),
                 4,
                 {"E0302", "File name too long"}},
        BadInput{"a link in a circle",
                 [](const Program& p) { fs::create_symlink("mnist", p.path("mnist")); },
                 to_out + "--model {}/tiny.toml --data mnist:{}/mnist",
                 4,
                 {"E0302", "/mnist", "symbolic links"}},
        BadInput{"a file that cannot be read",
                 mnist_then([](const Program& p) { fs::permissions(p.path(train_labels), fs::perms::none); }),
                 on_mnist,
                 4,
                 {"E0401", train_labels, "Permission denied"}},
        BadInput{"a folder for a file",
                 mnist_then(
                     [](const Program& p) {
                       p.remove(train_labels);
                       fs::create_directory(p.path(train_labels));
                     }),
                 on_mnist,
                 4,
                 {"E0401", train_labels, "not a file"}},
        BadInput{"a pipe for a file",
                 mnist_then(
                     [](const Program& p) {
                       p.remove(train_labels);
                       ::mkfifo(p.path(train_labels).c_str(), 0600);
                     }),
                 on_mnist,
                 4,
                 {"E0401", train_labels, "not a file"}}),
    test_name);

INSTANTIATE_TEST_SUITE_P(
    Gzip, BadData,
    testing::Values(
        BadInput{"cut in half",
                 mnist_packed(cut(packed_images, packed_images.size() / 2)),
                 on_mnist,
                 4,
                 {"E0305", train_images + ".gz", "too early"}},
        BadInput{"without its checksum", mnist_packed(cut(packed_images, packed_images.size() - 8)), on_mnist, 4, {"E0305", "too early"}},
        BadInput{"damaged", mnist_packed(damaged(packed_images, packed_images.size() / 2)), on_mnist, 4, {"E0305", train_images + ".gz"}},
        BadInput{"wrong checksum",
                 mnist_packed(damaged(packed_images, packed_images.size() - 6)),
                 on_mnist,
                 4,
                 {"E0305", "incorrect data check"}},
        BadInput{"two bytes", mnist_packed("\x1f\x8b"), on_mnist, 4, {"E0305", train_images + ".gz", "too early"}},
        BadInput{"rubbish behind it", mnist_packed(packed_images + "rubbish"), on_mnist, 4, {"E0305", "incorrect header"}},
        BadInput{
            "of something else", mnist_packed(gzip(std::string(500, 't'))), on_mnist, 4, {"E0303", train_images + ".gz", "0x74747474"}},
        BadInput{"holds less than promised", mnist_packed(gzip(idx(0x803, {12, 9, 9}, "x"))), on_mnist, 4, {"E0305", "too early"}},
        BadInput{"holds more than promised", mnist_packed(gzip(images(12, 8) + "x")), on_mnist, 4, {"E0305", "goes on"}},
        BadInput{"promises 2^96 bytes",
                 mnist_packed(gzip(idx(0x803, {~0u, ~0u, ~0u}, "x"))),
                 on_mnist,
                 4,
                 {"E0304", train_images + ".gz", "4294967295 x 4294967295"}},
        BadInput{"promises 16 GiB, which its length allows",
                 mnist_packed(gzip(idx(0x803, {65536, 512, 512}, "x")) + std::string(20 << 20, 'z')),
                 on_mnist,
                 4,
                 {"E0305", "incorrect header"}}),
    test_name);

INSTANTIATE_TEST_SUITE_P(
    Cifar, BadData,
    testing::Values(BadInput{"cut short",
                             cifar_with("data_batch_3.bin", std::string(cifar_record + 100, '\1')),
                             on_cifar,
                             4,
                             {"E0308", "data_batch_3.bin", "3173 bytes", "3073"}},
                    BadInput{"empty", cifar_with("test_batch.bin", ""), on_cifar, 4, {"E0308", "test_batch.bin", "0 bytes"}},
                    BadInput{"text", cifar_with("data_batch_1.bin", "no images"), on_cifar, 4, {"E0308", "data_batch_1.bin", "9 bytes"}},
                    BadInput{"label 10",
                             cifar_with("data_batch_2.bin", std::string(cifar_record, '\3') + std::string(cifar_record, '\12')),
                             on_cifar,
                             4,
                             {"E0309", "data_batch_2.bin", "record 1", "label 10"}},
                    BadInput{"label 255",
                             cifar_with("test_batch.bin", std::string(cifar_record, '\377')),
                             on_cifar,
                             4,
                             {"E0309", "test_batch.bin", "label 255"}},
                    BadInput{"a batch is missing",
                             cifar_then([](const Program& p) { p.remove("cifar/data_batch_4.bin"); }),
                             on_cifar,
                             4,
                             {"E0302", "/cifar", "lacks data_batch_4.bin"}},
                    BadInput{
                        "no folder", nothing, to_out + "--model {}/tiny.toml --data cifar10:{}/cifar", 4, {"E0302", "/cifar", "no folder"}},
                    BadInput{"a folder that cannot be looked into",
                             cifar_then([](const Program& p) { fs::permissions(p.path("cifar"), fs::perms::none); }),
                             on_cifar,
                             4,
                             {"E0302", "/cifar", "Permission denied"}},
                    BadInput{"a batch that cannot be read",
                             cifar_then([](const Program& p) { fs::permissions(p.path("cifar/data_batch_1.bin"), fs::perms::none); }),
                             on_cifar,
                             4,
                             {"E0401", "data_batch_1.bin", "Permission denied"}},
                    BadInput{"nine classes",
                             cifar_with("batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\n"),
                             on_cifar,
                             4,
                             {"E0310", "batches.meta.txt", "9 classes"}},
                    BadInput{"a terabyte of class names",
                             cifar_then([](const Program& p) { plant_hole(p, "cifar/batches.meta.txt", uint64_t{1} << 40); }),
                             on_cifar,
                             4,
                             {"E0403", "batches.meta.txt", "16777216 bytes"}},
                    BadInput{"images of three channels for one",
                             [](const Program& p) {
                               plant_mnist(p);
                               plant_cifar(p);
                             },
                             to_out + "--model {}/ten.toml --data cifar10:{}/cifar",
                             3,
                             {"E0212", "ten.toml:1", "8 x 8 x 1", "32 x 32 x 3"}}),
    test_name);

INSTANTIATE_TEST_SUITE_P(
    Asked, BadData,
    testing::Values(
        BadInput{"a kind mistyped", nothing, to_out + "--model {}/tiny.toml --data minst:{}", 4, {"E0301", "`minst`", "mnist:DIR"}},
        BadInput{"no folder named", nothing, to_out + "--model {}/tiny.toml --data mnist", 4, {"E0301", "mnist:"}},
        BadInput{"a side of 0", nothing, to_out + "--model {}/tiny.toml --data synthetic:0x8x1:4", 4, {"E0301", "the height is `0`"}},
        BadInput{"a side below 0", nothing, to_out + "--model {}/tiny.toml --data synthetic:8x-8x1:4", 4, {"E0301", "the width is `-8`"}},
        BadInput{"a side beyond 2^64",
                 nothing,
                 to_out + "--model {}/tiny.toml --data synthetic:8x8x99999999999999999999:4",
                 4,
                 {"E0301", "`99999999999999999999`"}},
        BadInput{"more images than memory",
                 nothing,
                 to_out + "--model {}/tiny.toml --data synthetic:65536x65536x3:4:1000000000",
                 6,
                 {"E0601", "1000000000 images of 65536 x 65536 x 3"}},
        BadInput{"images of another size",
                 nothing,
                 to_out + "--model {}/tiny.toml --data synthetic:9x8x1:4:50:30",
                 3,
                 {"E0212", "tiny.toml:2", "8 x 8 x 1", "9 x 8 x 1"}},
        BadInput{"another number of classes",
                 nothing,
                 to_out + "--model {}/tiny.toml --data synthetic:8x8x1:5:50:30",
                 3,
                 {"E0212", "tiny.toml", "gives 4 outputs", "5 classes"}}),
    test_name);

}  // namespace
}  // namespace fovea::cli
