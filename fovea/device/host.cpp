// The host as a device: aligned memory, and a stream that runs everything at once.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

#include "fovea/base/clock.h"
#include "fovea/base/error.h"
#include "fovea/base/processor.h"
#include "fovea/base/thread.h"
#include "fovea/device/device.h"

namespace fovea {
namespace {

constexpr size_t alignment = 256;

class HostStream final : public Stream {
 public:
  void synchronize() override {}
};

class HostMemory final : public Memory {
 public:
  explicit HostMemory(size_t bytes) : bytes_(bytes), data_(std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment)) {
    if (data_ == nullptr && bytes > 0) {
      throw Error(ErrorId::no_memory_for_plan,
                  fmt::format("cannot allocate {:.2f} GiB of host memory; {:.2f} GiB are free", static_cast<double>(bytes) / (1 << 30),
                              static_cast<double>(free_memory_bytes()) / (1 << 30)))
          .help("use a smaller batch or a smaller network");
    }
  }
  ~HostMemory() override { std::free(data_); }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  void* data() const override { return data_; }
  size_t bytes() const override { return bytes_; }

 private:
  size_t bytes_;
  void* data_;
};

class BorrowedMemory final : public Memory {
 public:
  explicit BorrowedMemory(std::span<const std::byte> bytes) : bytes_(bytes) {}
  void* data() const override { return const_cast<std::byte*>(bytes_.data()); }
  size_t bytes() const override { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
};

class HostDevice final : public Device {
 public:
  std::string name() const override { return fmt::format("{}, {} threads", processor_name(), usable_threads()); }
  std::string platform() const override { return processor_name(); }
  std::unique_ptr<Stream> make_stream() override { return std::make_unique<HostStream>(); }
  std::unique_ptr<Memory> allocate(size_t bytes) override {
    ++allocations_;
    return std::make_unique<HostMemory>(bytes);
  }
  std::unique_ptr<Memory> resident(std::span<const std::byte> host, Stream&) override { return std::make_unique<BorrowedMemory>(host); }
  void upload(void* to, const void* from, size_t bytes, Stream&) override { std::memcpy(to, from, bytes); }
  void download(void* to, const void* from, size_t bytes, Stream&) override { std::memcpy(to, from, bytes); }
  void fill(void* to, std::byte value, size_t bytes, Stream&) override { std::memset(to, std::to_integer<int>(value), bytes); }
  MemoryStatus memory_status() const override { return {free_memory_bytes(), memory_bytes(), allocations_}; }

 private:
  int64_t allocations_ = 0;
};

}  // namespace

double Device::seconds(Stream& stream, const std::function<void()>& enqueue) {
  stream.synchronize();
  const Stopwatch watch;
  enqueue();
  stream.synchronize();
  return watch.seconds();
}

std::unique_ptr<Device> make_host_device() { return std::make_unique<HostDevice>(); }

}  // namespace fovea
