// Tensors of more than 2^31 elements on every backend. CUDA kernels of PyTorch (issue 68418), TensorFlow (issue 46621) and MLX (issue 3248)
// counted in 32 bits and gave wrong maxima, reductions and convolutions.
// What is only read is mapped and not written: on the host it takes address space, and hardly any memory.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "fovea/base/error.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

// Zeros, except for what is written.
class Zeros {
 public:
  explicit Zeros(size_t bytes)
      : bytes_(bytes), data_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (data_ == MAP_FAILED) throw Error(ExitCode::memory, "no address space for the test");
  }
  ~Zeros() { munmap(data_, bytes_); }
  Zeros(const Zeros&) = delete;
  Zeros& operator=(const Zeros&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), bytes_}; }

 private:
  size_t bytes_;
  void* data_;
};

// One operator on one backend, each tensor in memory of its own.
class Launched {
 public:
  Launched(Backend& backend, const Op& op)
      : device_(backend.device()), stream_(device_.make_stream()), kernel_(make(backend, op, {.threads = 2})) {
    for (const graph::Type& type : graph::outputs_of(op)) {
      memory_.push_back(device_.allocate(static_cast<size_t>(type.shape.elements()) * bytes_of(type.dtype)));
      buffers_.out.push_back({memory_.back()->data(), type.dtype, type.shape});
    }
    inputs_ = graph::inputs_of(op);
  }

  // On the host it is this memory that the operator reads, and no copy.
  void read(std::span<const std::byte> bytes) {
    const graph::Type& type = inputs_[buffers_.in.size()];
    memory_.push_back(device_.resident(bytes, *stream_));
    stream_->synchronize();
    buffers_.in.push_back({memory_.back()->data(), type.dtype, type.shape});
  }
  template <class T>
  void read(const std::vector<T>& values) {
    read(std::as_bytes(std::span(values)));
  }

  template <class T>
  void read(std::vector<T>&&) = delete;

  void operator()() {
    workspace_ = device_.allocate(kernel_->workspace_bytes());
    device_.fill(workspace_->data(), std::byte{0xFF}, kernel_->workspace_bytes(), *stream_);  // NaN
    kernel_->bind(buffers_, workspace_->data());
    kernel_->run(*stream_);
    stream_->synchronize();
  }

  template <class T>
  std::vector<T> result(size_t output, int64_t first, size_t count) {
    std::vector<T> values(count);
    device_.download(values.data(), static_cast<T*>(buffers_.out[output].data) + first, count * sizeof(T), *stream_);
    stream_->synchronize();
    return values;
  }

 private:
  Device& device_;
  std::unique_ptr<Stream> stream_;
  KernelPtr kernel_;
  std::vector<graph::Type> inputs_;
  std::vector<std::unique_ptr<Memory>> memory_;
  std::unique_ptr<Memory> workspace_;
  Buffers buffers_;
};

class Huge : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string absent_because;
    backend_ = open_or_say_why_not(GetParam(), absent_because);
    if (!backend_) GTEST_SKIP() << absent_because;
  }
  // Of the device's memory; on the host, of what is written.
  bool has_memory(double gib) { return static_cast<double>(backend_->device().memory_status().free) > gib * 0x1p30; }
  bool has_memory_for_inputs(double gib) { return !is_on_gpu(GetParam()) || has_memory(gib); }

  std::unique_ptr<Backend> backend_;
};

TEST_P(Huge, GathersFromADataSetOfMoreThan4GiB) {
  constexpr int64_t images = 1'500'000, elements = 32 * 32 * 3, n = 3;
  if (!has_memory_for_inputs(5)) GTEST_SKIP() << "needs 5 GiB of device memory";
  const Augment op = {.n = n, .h = 32, .w = 32, .c = 3, .images = images, .mean = {0, 0, 0}, .deviation = {1, 1, 1}, .types = {}};
  const Zeros pixels(images * elements);
  for (int64_t i = 0; i < n * elements; ++i) pixels.as<uint8_t>()[(images - n) * elements + i] = static_cast<uint8_t>(i * 7 % 255 + 1);
  std::vector<int32_t> labels(images);
  labels.back() = 9;
  const std::vector<StepControl> control = {{.position = images - n, .images = images}};
  Launched run(*backend_, op);
  run.read(pixels.bytes());
  run.read(labels);
  run.read(control);
  run();
  const std::vector<float> y = run.result<float>(0, 0, n * elements);
  for (int64_t i = 0; i < n * elements; ++i)
    ASSERT_FLOAT_EQ(y[static_cast<size_t>(i)], static_cast<float>(i * 7 % 255 + 1) / 255) << "element " << i;
  EXPECT_EQ(run.result<int32_t>(1, 0, n), (std::vector<int32_t>{0, 0, 9}));
}

// Nine images of 2^28 pixels; windows of 3 x 3, far apart.
constexpr int64_t side = 1 << 14, images = 9, step = 64, outputs = side / step;
constexpr Window sparse = {.r = 3, .s = 3, .stride_h = step, .stride_w = step};
constexpr int64_t last = side - step;  // row and column where the last window begins
constexpr int64_t pixel(int64_t image, int64_t h, int64_t w) { return (image * side + h) * side + w; }
static_assert(pixel(images - 1, 0, 0) == int64_t{1} << 31);

std::unique_ptr<Zeros> nine_images() {
  auto x = std::make_unique<Zeros>(images * side * side * sizeof(float));
  x->as<float>()[pixel(images - 1, last + 1, last + 2)] = 5;
  x->as<float>()[pixel(images - 1, 2, 1)] = 7;
  return x;
}
constexpr int64_t outputs_of_an_image = outputs * outputs;

TEST_P(Huge, PoolsMoreThan2To31Pixels) {
  if (!has_memory_for_inputs(10)) GTEST_SKIP() << "needs 10 GiB of device memory";
  const auto x = nine_images();
  const PoolShape shape = {.n = images, .h = side, .w = side, .c = 1, .window = sparse};
  Launched largest(*backend_, MaxPoolForward{.shape = shape, .types = {}});
  largest.read(x->bytes());
  largest();
  const int64_t first = (images - 1) * outputs_of_an_image, end = images * outputs_of_an_image;
  EXPECT_EQ(largest.result<float>(0, end - 2, 2), (std::vector<float>{0, 5}));
  EXPECT_EQ(largest.result<float>(0, first - 1, 3), (std::vector<float>{0, 7, 0}));
  EXPECT_EQ(largest.result<uint8_t>(1, end - 2, 2), (std::vector<uint8_t>{0, 1 * 3 + 2}));
  EXPECT_EQ(largest.result<uint8_t>(1, first - 1, 3), (std::vector<uint8_t>{0, 2 * 3 + 1, 0}));
}

TEST_P(Huge, AveragesMoreThan2To31Pixels) {
  if (!has_memory_for_inputs(10)) GTEST_SKIP() << "needs 10 GiB of device memory";
  const auto x = nine_images();
  const PoolShape shape = {.n = images, .h = side, .w = side, .c = 1, .window = sparse};
  Launched mean(*backend_, AvgPoolForward{.shape = shape, .types = {}});
  mean.read(x->bytes());
  mean();
  EXPECT_FLOAT_EQ(mean.result<float>(0, images * outputs_of_an_image - 1, 1)[0], 5.0f / 9);
  EXPECT_FLOAT_EQ(mean.result<float>(0, (images - 1) * outputs_of_an_image, 1)[0], 7.0f / 9);
}

TEST_P(Huge, ConvolvesMoreThan2To31Pixels) {
  if (!has_memory_for_inputs(10)) GTEST_SKIP() << "needs 10 GiB of device memory";
  const auto x = nine_images();
  const Conv2dShape shape = {.n = images, .h = side, .w = side, .c = 1, .k = 1, .window = sparse};
  const std::vector<float> w = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  {
    Launched forward(*backend_, Conv2dForward{.shape = shape, .types = {}});
    forward.read(x->bytes());
    forward.read(w);
    forward();
    EXPECT_EQ(forward.result<float>(0, images * outputs_of_an_image - 2, 2), (std::vector<float>{0, 5 * 6}));
    EXPECT_EQ(forward.result<float>(0, (images - 1) * outputs_of_an_image - 1, 3), (std::vector<float>{0, 7 * 8, 0}));
  }
  const Zeros dy(images * outputs_of_an_image * sizeof(float));
  dy.as<float>()[images * outputs_of_an_image - 1] = 3;
  dy.as<float>()[(images - 1) * outputs_of_an_image] = 2;
  Launched filter(*backend_, Conv2dBackwardFilter{.shape = shape, .types = {}});
  filter.read(x->bytes());
  filter.read(dy.bytes());
  filter();
  EXPECT_EQ(filter.result<float>(0, 0, 9), (std::vector<float>{0, 0, 0, 0, 0, 5 * 3, 0, 7 * 2, 0}));
}

INSTANTIATE_TEST_SUITE_P(Backends, Huge, testing::ValuesIn(backend_names()), [](const auto& info) { return info.param; });

class SlowHuge : public Huge {};

TEST_P(SlowHuge, WritesMoreThan2To31Elements) {
  constexpr int64_t elements = (int64_t{1} << 31) + 77;
  if (!has_memory(is_on_gpu(GetParam()) ? 17 : 9)) GTEST_SKIP() << "needs 9 GiB of free memory, or 17 GiB on a GPU";
  const Zeros x(elements * sizeof(float));
  x.as<float>()[elements - 1] = 3;
  x.as<float>()[elements - 78] = -4;
  x.as<float>()[0] = 1;
  Launched run(*backend_, ActivationForward{Activation::leaky_relu, elements, {}, 0.25f});
  run.read(x.bytes());
  run();
  EXPECT_EQ(run.result<float>(0, elements - 2, 2), (std::vector<float>{0, 3}));
  EXPECT_EQ(run.result<float>(0, elements - 79, 3), (std::vector<float>{0, -1, 0}));
  EXPECT_EQ(run.result<float>(0, 0, 2), (std::vector<float>{1, 0}));
}

// Sums over more than 2^31 elements.
TEST_P(SlowHuge, SumsMoreThan2To31Elements) {
  constexpr int64_t k = 64, rows = (int64_t{1} << 31) / k + 1;
  if (!has_memory_for_inputs(9)) GTEST_SKIP() << "needs 9 GiB of device memory";
  const Zeros dy(rows * k * sizeof(float));
  dy.as<float>()[rows * k - 1] = 3;
  dy.as<float>()[k - 1] = 4;
  dy.as<float>()[(rows - 1) * k] = 5;
  Launched run(*backend_, BiasBackward{.rows = rows, .k = k, .types = {}});
  run.read(dy.bytes());
  run();
  std::vector<float> expected(k);
  expected.front() = 5;
  expected.back() = 7;
  EXPECT_EQ(run.result<float>(0, 0, k), expected);
}

INSTANTIATE_TEST_SUITE_P(Backends, SlowHuge, testing::ValuesIn(backend_names()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace fovea::test
