// Where a plan runs: memory and an ordered queue of work. Host and CUDA implement it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace fovea {

// Whether a kernel may start before the one in front of it has ended, where the device can do that and the kernel is made for it.
enum class DependentLaunches : uint8_t { on, off };

// An ordered queue: what is enqueued runs in that order. On the host everything runs at once.
class Stream {
 public:
  virtual ~Stream() = default;
  DependentLaunches dependent_launches() const { return dependent_launches_; }
  void set(DependentLaunches launches) { dependent_launches_ = launches; }  // of what is enqueued from now on
  virtual void synchronize() = 0;  // returns when all that was enqueued is done; throws Error (device) if some of it failed

 private:
  DependentLaunches dependent_launches_ = DependentLaunches::on;
};

// Device memory; freed with its owner. Aligned to 256 bytes.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual void* data() const = 0;
  virtual size_t bytes() const = 0;
};

// Work that was enqueued once and can be enqueued again as a whole: the same steps on the same addresses.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay(Stream& stream) = 0;
  virtual size_t steps() const = 0;  // kernels, copies and fills in it
};

struct MemoryStatus {
  size_t free = 0, total = 0;  // bytes of the device, other programs included
  int64_t allocations = 0;     // by `allocate` and `resident`, since the device was opened
};

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string name() const = 0;      // "AMD EPYC 9575F, 2 threads"
  virtual std::string platform() const = 0;  // what measured times hold for, in words: "AMD EPYC 9575F"
  virtual std::unique_ptr<Stream> make_stream() = 0;
  virtual std::unique_ptr<Memory> allocate(size_t bytes) = 0;  // throws Error (memory) with what was asked for and what is free; not zeroed

  // Device memory that holds these bytes. On the host it is the same memory, which has to outlive it.
  virtual std::unique_ptr<Memory> resident(std::span<const std::byte> host, Stream& stream) = 0;

  // All of these are enqueued. Host memory of upload may be reused when the call returns; that of download after synchronize.
  virtual void upload(void* to, const void* from, size_t bytes, Stream& stream) = 0;
  virtual void download(void* to, const void* from, size_t bytes, Stream& stream) = 0;
  virtual void fill(void* to, std::byte value, size_t bytes, Stream& stream) = 0;

  // What `enqueue` enqueues on this stream is kept, not run; it may neither allocate nor upload, download or synchronise.
  // nullptr, and nothing was called, where the device cannot record: on the host.
  virtual std::unique_ptr<Recording> record(Stream&, const std::function<void()>&) { return nullptr; }

  // How long the device takes for what `enqueue` enqueues on this stream. Waits for what was enqueued before, and for this.
  virtual double seconds(Stream& stream, const std::function<void()>& enqueue);

  virtual MemoryStatus memory_status() const = 0;
};

std::unique_ptr<Device> make_host_device();

}  // namespace fovea
