// The loads that measure a device compute what they say, on every backend that has them.
#include "fovea/backend/load.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "fovea/backend/openmp/bf16_products.h"
#include "fovea/backend/registry.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

class LoadTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string absent_because;
    backend_ = open_or_say_why_not(GetParam(), absent_because);
    if (!backend_) GTEST_SKIP() << absent_because;
    maker_ = dynamic_cast<LoadMaker*>(backend_.get());
    ASSERT_NE(maker_, nullptr);
    stream_ = backend_->device().make_stream();
  }
  // Element i of input k is value(k, i); what stands in the output is value(number of inputs, i).
  template <class Value>
  std::vector<float> run(const Load& load, int threads, Value value) {
    Device& device = backend_->device();
    std::vector<std::unique_ptr<Memory>> memory;
    Buffers buffers;
    const auto placed = [&](const graph::Type& type, size_t number) {
      std::vector<float> values(static_cast<size_t>(type.shape.elements()));
      for (size_t i = 0; i < values.size(); ++i) values[i] = value(number, i);
      memory.push_back(device.allocate(values.size() * sizeof(float)));
      device.upload(memory.back()->data(), values.data(), memory.back()->bytes(), *stream_);
      return Tensor{memory.back()->data(), type.dtype, type.shape};
    };
    for (const graph::Type& type : load.in()) buffers.in.push_back(placed(type, buffers.in.size()));
    buffers.out.push_back(placed(load.out()[0], load.in().size()));
    const Tensor y = buffers.out[0];
    const KernelPtr kernel = maker_->make_load(load, {threads});
    kernel->bind(std::move(buffers), nullptr);
    kernel->run(*stream_);
    std::vector<float> result(static_cast<size_t>(y.shape.elements()));
    device.download(result.data(), y.data, y.bytes(), *stream_);
    stream_->synchronize();
    return result;
  }

  std::unique_ptr<Backend> backend_;
  LoadMaker* maker_ = nullptr;
  std::unique_ptr<Stream> stream_;
};

// "NVIDIA T4, compute capability 7.5, driver 580.82"
bool is_older_than_ampere(const Device& device) {
  const std::string platform = device.platform(), before = "compute capability ";
  return std::stoi(platform.substr(platform.find(before) + before.size())) < 8;
}

constexpr int64_t blocks = 7;  // more than threads, and no multiple of them

TEST_P(LoadTest, MultiplyAddsAsOftenAsItSays) {
  for (const int64_t rounds : {1, 2, 3, 17})
    for (const int threads : {1, 3}) {
      const std::vector<float> y = run({Load::Kind::multiply_add, blocks * Load::block, rounds}, threads,
                                       [](size_t, size_t i) { return static_cast<float>(i % 29); });
      for (size_t i = 0; i < y.size(); ++i) {
        const double first = static_cast<double>(i % 29);
        ASSERT_EQ(y[i], static_cast<float>(2 + (first - 2) * std::exp2(-static_cast<double>(rounds))))
            << rounds << " rounds, element " << i;
      }
    }
}

TEST_P(LoadTest, ProductsAddWhatTheySay) {
  for (const graph::Precision& precision : {graph::tf32, graph::bf16, graph::fp16}) {
    const Load least = {Load::Kind::product, Load::tile, 1, precision};
    if (maker_->make_load(least, {1}) == nullptr) {
      EXPECT_TRUE(!is_on_gpu(GetParam()) || is_older_than_ampere(backend_->device())) << graph::name_of(precision);
      continue;
    }
    for (const int64_t rounds : {1, 2, 17})
      for (const int threads : {1, 3}) {
        const std::vector<float> y = run({Load::Kind::product, blocks * Load::tile, rounds, precision}, threads,
                                         [](size_t, size_t i) { return static_cast<float>(i % 1009); });
        for (size_t i = 0; i < y.size(); ++i)
          ASSERT_EQ(y[i], static_cast<float>(i % 1009) + static_cast<float>(Load::depth * rounds))
              << graph::name_of(precision) << ", " << rounds << " rounds, element " << i;
      }
  }
}

TEST_P(LoadTest, ReadSumsEachBlock) {
  for (const int threads : {1, 3, 16}) {
    const std::vector<float> sums = run({Load::Kind::read, blocks * Load::block, 2}, threads, [](size_t, size_t i) {
      return static_cast<float>(i % 5) + static_cast<float>(i / static_cast<size_t>(Load::block));
    });
    ASSERT_EQ(std::ssize(sums), blocks);
    for (int64_t block = 0; block < blocks; ++block) {
      int64_t sum = 0;
      for (int64_t i = block * Load::block; i < (block + 1) * Load::block; ++i) sum += i % 5 + block;
      EXPECT_EQ(sums[static_cast<size_t>(block)], static_cast<float>(sum)) << block;
    }
  }
}

TEST_P(LoadTest, TriadAddsTwice) {
  for (const int threads : {1, 3}) {
    const std::vector<float> y = run({Load::Kind::triad, blocks * Load::block, 2}, threads,
                                     [](size_t input, size_t i) { return static_cast<float>(input == 0 ? i % 97 : i % 89); });
    for (size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], static_cast<float>(i % 97 + 2 * (i % 89))) << i;
  }
}

TEST_P(LoadTest, ItsCacheIsSmallerThanItsMemory) {
  EXPECT_GT(maker_->last_level_cache(), 1 << 18);
  EXPECT_LT(maker_->last_level_cache(), static_cast<int64_t>(backend_->device().memory_status().total));
}

INSTANTIATE_TEST_SUITE_P(Backends, LoadTest, testing::Values("openmp", "onednn", "cuda", "cudnn"),
                         [](const auto& info) { return info.param; });

TEST(Load, HasTheProductsOfTheProcessor) {
  std::ifstream info("/proc/cpuinfo");
  const std::string text(std::istreambuf_iterator<char>(info), {});
  std::vector<std::string> expected, found;
  if (text.find(" amx_bf16") != std::string::npos) expected.emplace_back("AMX-BF16");
  if (text.find(" avx512_bf16") != std::string::npos) expected.emplace_back("AVX512-BF16");
  for (const openmp::Bf16Products& products : openmp::bf16_products()) {
    found.emplace_back(products.name);
    std::vector<float> y(Load::tile);
    for (size_t i = 0; i < y.size(); ++i) y[i] = static_cast<float>(i % 1009);
    products.run(3, y.data());
    for (size_t i = 0; i < y.size(); ++i)
      ASSERT_EQ(y[i], static_cast<float>(i % 1009) + 3 * Load::depth) << products.name << ", element " << i;
  }
  EXPECT_EQ(found, expected);
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  LoadMaker& maker = dynamic_cast<LoadMaker&>(*backend);
  const KernelPtr kernel = maker.make_load({Load::Kind::product, Load::tile, 1, graph::bf16}, {1});
  EXPECT_EQ(kernel ? kernel->algorithm() : "", expected.empty() ? "" : expected.front());
  EXPECT_EQ(maker.make_load({Load::Kind::product, Load::tile, 1, graph::fp16}, {1}), nullptr);
}

TEST(Load, CountsItsWork) {
  const Load add = {Load::Kind::multiply_add, 2 * Load::block, 5}, read = {Load::Kind::read, 2 * Load::block, 5},
             triad = {Load::Kind::triad, 2 * Load::block, 5}, product = {Load::Kind::product, 2 * Load::tile, 5, graph::bf16};
  EXPECT_EQ(add.flops(), 2.0 * 2 * 3072 * 5);
  EXPECT_EQ(add.bytes(), 0);
  EXPECT_EQ(product.flops(), 2.0 * 64 * 128 * 32 * 2 * 5);
  EXPECT_EQ(product.bytes(), 0);
  EXPECT_EQ(read.bytes(), 4.0 * 2 * 3072 * 5);
  EXPECT_EQ(triad.bytes(), 12.0 * 2 * 3072 * 5);
}

}  // namespace
}  // namespace fovea::test
