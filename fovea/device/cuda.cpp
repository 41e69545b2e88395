// The CUDA runtime behind the seam of the device.
#include "fovea/device/cuda.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "fovea/base/error.h"

namespace fovea {
namespace {

std::string in_gib(size_t bytes) { return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30)); }
std::string cuda_version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

// "580.159.04"; empty where the system does not say.
std::string driver_version() {
  std::string version;
  std::getline(std::ifstream("/sys/module/nvidia/version"), version);
  return version;
}

class CudaMemory final : public Memory {
 public:
  explicit CudaMemory(size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    const cudaError_t result = cudaMalloc(&data_, bytes);
    if (result == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      size_t free = 0, total = 0;
      check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
      throw Error(ErrorId::no_memory_for_plan,
                  fmt::format("cannot allocate {} of GPU memory; {} of {} are free", in_gib(bytes), in_gib(free), in_gib(total)))
          .help("use a smaller batch or a smaller network, or end other programs on this GPU");
    }
    check_cuda(result, "cudaMalloc");
  }
  ~CudaMemory() override { cudaFree(data_); }  // waits for the device
  CudaMemory(const CudaMemory&) = delete;
  CudaMemory& operator=(const CudaMemory&) = delete;
  void* data() const override { return data_; }
  size_t bytes() const override { return bytes_; }

 private:
  size_t bytes_;
  void* data_ = nullptr;
};

class CudaRecording final : public Recording {
 public:
  explicit CudaRecording(cudaGraph_t graph, cudaStream_t stream) : graph_(graph) {
    try {
      check_cuda(cudaGraphGetNodes(graph_, nullptr, &steps_), "cudaGraphGetNodes");
      check_cuda(cudaGraphInstantiate(&replayed_, graph_, 0), "cudaGraphInstantiate");
      check_cuda(cudaGraphUpload(replayed_, stream), "cudaGraphUpload");
    } catch (...) {
      destroy();
      throw;
    }
  }
  ~CudaRecording() override { destroy(); }
  CudaRecording(const CudaRecording&) = delete;
  CudaRecording& operator=(const CudaRecording&) = delete;
  void replay(Stream& stream) override { check_cuda(cudaGraphLaunch(replayed_, handle_of(stream)), "cudaGraphLaunch"); }
  size_t steps() const override { return steps_; }

 private:
  void destroy() {
    if (replayed_ != nullptr) cudaGraphExecDestroy(replayed_);
    cudaGraphDestroy(graph_);
  }

  cudaGraph_t graph_;
  cudaGraphExec_t replayed_ = nullptr;
  size_t steps_ = 0;
};

struct TimedEvent {
  cudaEvent_t event = nullptr;

  TimedEvent() { check_cuda(cudaEventCreate(&event), "cudaEventCreate"); }
  ~TimedEvent() { cudaEventDestroy(event); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;
};

void refuse_while_recording(Stream& stream, const char* what) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(handle_of(stream), &status), "cudaStreamIsCapturing");
  if (status != cudaStreamCaptureStatusNone)
    throw Error(ExitCode::internal, fmt::format("{} within a recording: it would be replayed with memory that is gone", what));
}

constexpr const char* driver_remedy =
    "install the NVIDIA driver (https://www.nvidia.com/drivers), then run `nvidia-smi` to see that it works";

}  // namespace

void check_cuda(cudaError_t result, const char* call, const char* file, int line) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // it is reported here and must not be found again after the next launch
  const char* from_root = std::strstr(file, "fovea/device/");
  if (from_root == nullptr) from_root = std::strstr(file, "fovea/backend/");
  throw Error(ErrorId::device_failure, fmt::format("{}: {} ({})", call, cudaGetErrorString(result), cudaGetErrorName(result)))
      .at(from_root != nullptr ? from_root : file, line);
}

CudaAbsence cuda_absence() {
  setenv("CUDA_MODULE_LOADING", "EAGER",
         0);  // before the first call: a kernel that loads at its first launch could do so within a recording
  int driver = 0, runtime = 0, devices = 0;
  cudaRuntimeGetVersion(&runtime);
  if (void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL); library == nullptr)
    return {"there is no NVIDIA driver: libcuda.so.1 was not found", driver_remedy};
  else
    dlclose(library);
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return {"the NVIDIA driver does not say its version", driver_remedy};
  if (driver / 1000 < runtime / 1000)
    return {
        fmt::format("the NVIDIA driver {} is for CUDA {}, but the module was built with CUDA {}", driver_version(), cuda_version(driver),
                    cuda_version(runtime)),
        fmt::format("install a driver for CUDA {} or newer, or build with a CUDA toolkit of version {}", runtime / 1000, driver / 1000)};
  const cudaError_t result = cudaGetDeviceCount(&devices);
  cudaGetLastError();
  if (result == cudaErrorNoDevice || (result == cudaSuccess && devices == 0))
    return {"the NVIDIA driver sees no GPU", "see that `nvidia-smi` lists one and that CUDA_VISIBLE_DEVICES does not hide it"};
  if (result != cudaSuccess) return {fmt::format("the NVIDIA driver fails: {}", cudaGetErrorString(result)), driver_remedy};
  return {};
}

UploadRing::~UploadRing() {
  for (const cudaEvent_t event : passed_)
    if (event != nullptr) cudaEventDestroy(event);
}

// Pageable, and not pinned: what a step needs is there 1 us sooner (docs/performance.md). The driver may read it later than this returns.
void UploadRing::upload(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  cudaEvent_t& passed = passed_[next_ / slots_of_half];
  if (next_ % slots_of_half == 0 && passed != nullptr) check_cuda(cudaEventSynchronize(passed), "cudaEventSynchronize");
  std::byte* slot = memory_.data() + next_ * slot_bytes;
  std::memcpy(slot, from, bytes);
  check_cuda(cudaMemcpyAsync(to, slot, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync to the device");
  if (next_ % slots_of_half == slots_of_half - 1) {
    if (passed == nullptr) check_cuda(cudaEventCreateWithFlags(&passed, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    check_cuda(cudaEventRecord(passed, stream), "cudaEventRecord");
  }
  next_ = (next_ + 1) % (2 * slots_of_half);
}

CudaStream::CudaStream() { check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }

CudaStream::~CudaStream() {
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

void CudaStream::synchronize() { check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

CudaDevice::CudaDevice() {
  check_cuda(cudaSetDevice(0), "cudaSetDevice");
  cudaDeviceProp properties;
  check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  int driver = 0;
  check_cuda(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  const std::string version = driver_version();
  const std::string driver_text = version.empty() ? fmt::format("for CUDA {}", cuda_version(driver)) : version;
  name_ =
      fmt::format("{}, driver {}, {:.0f} GiB", properties.name, driver_text, static_cast<double>(properties.totalGlobalMem) / (1 << 30));
  platform_ = fmt::format("{}, compute capability {}.{}, driver {}", properties.name, properties.major, properties.minor, driver_text);
}

std::unique_ptr<Memory> CudaDevice::allocate(size_t bytes) {
  ++allocations_;
  return std::make_unique<CudaMemory>(bytes);
}

std::unique_ptr<Memory> CudaDevice::resident(std::span<const std::byte> host, Stream& stream) {
  std::unique_ptr<Memory> memory = allocate(host.size());
  upload(memory->data(), host.data(), host.size(), stream);
  return memory;
}

void CudaDevice::upload(void* to, const void* from, size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  refuse_while_recording(stream, "an upload");
  CudaStream& queue = static_cast<CudaStream&>(stream);
  if (bytes <= UploadRing::slot_bytes) return queue.uploads().upload(to, from, bytes, queue.handle());
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, queue.handle()), "cudaMemcpyAsync to the device");
  queue.synchronize();
}

void CudaDevice::download(void* to, const void* from, size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  refuse_while_recording(stream, "a download");
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, handle_of(stream)), "cudaMemcpyAsync from the device");
}

void CudaDevice::fill(void* to, std::byte value, size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  check_cuda(cudaMemsetAsync(to, std::to_integer<int>(value), bytes, handle_of(stream)), "cudaMemsetAsync");
}

std::unique_ptr<Recording> CudaDevice::record(Stream& stream, const std::function<void()>& enqueue) {
  const cudaStream_t queue = handle_of(stream);
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamBeginCapture(queue, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  try {
    enqueue();
  } catch (...) {
    cudaStreamEndCapture(queue, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check_cuda(cudaStreamEndCapture(queue, &graph), "cudaStreamEndCapture");
  return std::make_unique<CudaRecording>(graph, queue);
}

double CudaDevice::seconds(Stream& stream, const std::function<void()>& enqueue) {
  const TimedEvent start, end;
  stream.synchronize();
  check_cuda(cudaEventRecord(start.event, handle_of(stream)), "cudaEventRecord");
  enqueue();
  check_cuda(cudaEventRecord(end.event, handle_of(stream)), "cudaEventRecord");
  stream.synchronize();
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, start.event, end.event), "cudaEventElapsedTime");
  return 1e-3 * static_cast<double>(milliseconds);
}

MemoryStatus CudaDevice::memory_status() const {
  MemoryStatus status;
  check_cuda(cudaMemGetInfo(&status.free, &status.total), "cudaMemGetInfo");
  status.allocations = allocations_;
  return status;
}

}  // namespace fovea
