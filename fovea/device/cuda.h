// A CUDA device: its memory, its streams, and steps recorded as CUDA graphs. Only modules that link the CUDA runtime include this.
#pragma once

#include <cuda_runtime_api.h>

#include "fovea/device/device.h"

namespace fovea {

// Throws Error (device) with the call, the cause and the place.
void check_cuda(cudaError_t result, const char* call, const char* file = __builtin_FILE(), int line = __builtin_LINE());

// Why no CUDA device can be used, and the remedy; both empty if one can.
struct CudaAbsence {
  std::string because, remedy;
};
CudaAbsence cuda_absence();

class CudaStream final : public Stream {
 public:
  CudaStream();
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  void synchronize() override;
  cudaStream_t handle() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
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
