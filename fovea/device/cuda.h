// A CUDA device: its memory, its streams, and steps recorded as CUDA graphs. Only modules that link the CUDA runtime include this.
#pragma once

#include <cuda_runtime_api.h>

#include <vector>

#include "fovea/device/device.h"

namespace fovea {

// Throws Error (device) with the call, the cause and the place.
void check_cuda(cudaError_t result, const char* call, const char* file = __builtin_FILE(), int line = __builtin_LINE());

// Why no CUDA device can be used, and the remedy; both empty if one can.
struct CudaAbsence {
  std::string because, remedy;
};
CudaAbsence cuda_absence();

// Copies of a few bytes to the device, out of pageable slots that are written anew only when the device is past the copies out of them.
class UploadRing {
 public:
  static constexpr size_t slot_bytes = 4 << 10;

  UploadRing() = default;
  ~UploadRing();  // behind the last copy
  UploadRing(const UploadRing&) = delete;
  UploadRing& operator=(const UploadRing&) = delete;
  void upload(void* to, const void* from, size_t bytes, cudaStream_t stream);  // at most slot_bytes

 private:
  static constexpr size_t slots_of_half = 64;

  std::vector<std::byte> memory_ = std::vector<std::byte>(2 * slots_of_half * slot_bytes);
  cudaEvent_t passed_[2] = {};  // of each half: the device is past its last copy
  size_t next_ = 0;
};

class CudaStream final : public Stream {
 public:
  CudaStream();
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  void synchronize() override;
  cudaStream_t handle() const { return stream_; }
  UploadRing& uploads() { return uploads_; }

 private:
  cudaStream_t stream_ = nullptr;
  UploadRing uploads_;
};
inline cudaStream_t handle_of(Stream& stream) { return static_cast<CudaStream&>(stream).handle(); }

class CudaDevice final : public Device {
 public:
  CudaDevice();  // the first one; throws Error (device)
  std::string name() const override { return name_; }
  std::string platform() const override { return platform_; }
  std::unique_ptr<Stream> make_stream() override { return std::make_unique<CudaStream>(); }
  std::unique_ptr<Memory> allocate(size_t bytes) override;
  std::unique_ptr<Memory> resident(std::span<const std::byte> host, Stream& stream) override;
  void upload(void* to, const void* from, size_t bytes, Stream& stream) override;
  void download(void* to, const void* from, size_t bytes, Stream& stream) override;
  void fill(void* to, std::byte value, size_t bytes, Stream& stream) override;
  std::unique_ptr<Recording> record(Stream& stream, const std::function<void()>& enqueue) override;
  double seconds(Stream& stream, const std::function<void()>& enqueue) override;
  MemoryStatus memory_status() const override;

 private:
  std::string name_, platform_;
  int64_t allocations_ = 0;
};

}  // namespace fovea
