// The host as a device: aligned memory, and a stream that runs everything at once.
#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <random>

#include "fovea/base/clock.h"
#include "fovea/base/error.h"
#include "fovea/base/processor.h"
#include "fovea/base/thread.h"
#include "fovea/device/device.h"

namespace fovea {
namespace {

constexpr size_t alignment = 256;
constexpr size_t page = 4096;
constexpr size_t places = 256;  // `alignment` bytes apart, where a large block may begin: over 64 KiB, a way of usual caches

class HostStream final : public Stream {
 public:
  void synchronize() override {}
};

class HostMemory final : public Memory {
 public:
  // `in_front`: bytes of the block that are not used.
  HostMemory(size_t bytes, size_t in_front) : bytes_(bytes), in_front_(in_front) {
    if (::posix_memalign(&block_, in_front + bytes < page ? alignment : page, in_front + bytes) != 0 && bytes > 0) {
      throw Error(ErrorId::no_memory_for_plan,
                  fmt::format("cannot allocate {:.2f} GiB of host memory; {:.2f} GiB are free", static_cast<double>(bytes) / (1 << 30),
                              static_cast<double>(free_memory_bytes()) / (1 << 30)))
          .help("use a smaller batch or a smaller network");
    }
  }
  ~HostMemory() override { std::free(block_); }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  void* data() const override { return static_cast<std::byte*>(block_) + in_front_; }
  size_t bytes() const override { return bytes_; }

 private:
  size_t bytes_, in_front_;
  void* block_ = nullptr;
};

class BorrowedMemory final : public Memory {
 public:
  explicit BorrowedMemory(std::span<const std::byte> bytes) : bytes_(bytes) {}
  void* data() const override { return const_cast<std::byte*>(bytes_.data()); }
  size_t bytes() const override { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
};

std::atomic<uint32_t> opened_hosts = 0;

class HostDevice final : public Device {
 public:
  std::string name() const override { return fmt::format("{}, {} threads", processor_name(), usable_threads()); }
  std::string platform() const override { return processor_name(); }
  std::unique_ptr<Stream> make_stream() override { return std::make_unique<HostStream>(); }
  std::unique_ptr<Memory> allocate(size_t bytes) override {
    ++allocations_;
    const size_t place = random_() % places;
    return std::make_unique<HostMemory>(bytes, bytes < page ? 0 : place * alignment);
  }
  std::unique_ptr<Memory> resident(std::span<const std::byte> host, Stream&) override { return std::make_unique<BorrowedMemory>(host); }
  void upload(void* to, const void* from, size_t bytes, Stream&) override { std::memcpy(to, from, bytes); }
  void download(void* to, const void* from, size_t bytes, Stream&) override { std::memcpy(to, from, bytes); }
  void fill(void* to, std::byte value, size_t bytes, Stream&) override { std::memset(to, std::to_integer<int>(value), bytes); }
  MemoryStatus memory_status() const override { return {free_memory_bytes(), memory_bytes(), allocations_}; }

 private:
  int64_t allocations_ = 0;
  std::mt19937 random_{opened_hosts++};  // the same places in every process, but others for every device in it
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
