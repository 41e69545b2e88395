#include "fovea/study/nvml.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

namespace fovea::study {
namespace {

// As NVIDIA's reference manual of NVML declares them.
using Result = int;  // 0: success
struct Utilization {
  unsigned gpu, memory;  // percent
};
struct MemoryInfo {
  unsigned long long total, free, used;
};

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
}

}  // namespace

struct Nvml::Calls {
  void* library = nullptr;
  Result (*start)() = nullptr;
  Result (*stop)() = nullptr;
  Result (*by_index)(unsigned, void**) = nullptr;
  Result (*by_uuid)(const char*, void**) = nullptr;
  Result (*name)(void*, char*, unsigned) = nullptr;
  Result (*driver)(char*, unsigned) = nullptr;
  Result (*energy)(void*, unsigned long long*) = nullptr;
  Result (*power)(void*, unsigned*) = nullptr;
  Result (*utilization)(void*, Utilization*) = nullptr;
  Result (*memory)(void*, MemoryInfo*) = nullptr;
  bool started = false;

  explicit Calls(const std::string& file) : library(::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (library == nullptr) return;
    find(library, "nvmlInit_v2", start);
    find(library, "nvmlShutdown", stop);
    find(library, "nvmlDeviceGetHandleByIndex_v2", by_index);
    find(library, "nvmlDeviceGetHandleByUUID", by_uuid);
    find(library, "nvmlDeviceGetName", name);
    find(library, "nvmlSystemGetDriverVersion", driver);
    find(library, "nvmlDeviceGetTotalEnergyConsumption", energy);
    find(library, "nvmlDeviceGetPowerUsage", power);
    find(library, "nvmlDeviceGetUtilizationRates", utilization);
    find(library, "nvmlDeviceGetMemoryInfo", memory);
  }
  ~Calls() {
    if (started && stop != nullptr) stop();
    if (library != nullptr) ::dlclose(library);
  }
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  // CUDA_VISIBLE_DEVICES names GPUs by number or by UUID; the first one is CUDA's first.
  Result first_device(void** device) const {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    std::string first = visible == nullptr ? "" : visible;
    first = first.substr(0, first.find(','));
    if (first.starts_with("GPU-") && by_uuid != nullptr) return by_uuid(first.c_str(), device);
    unsigned index = 0;
    std::from_chars(first.data(), first.data() + first.size(), index);
    return by_index(index, device);
  }
};

Nvml::Nvml(const std::string& library) : calls_(std::make_unique<Calls>(library)) {
  if (calls_->library == nullptr) {
    absent_because_ = fmt::format("{} is not on this machine: it comes with the driver of an NVIDIA GPU", library);
  } else if (calls_->start == nullptr || calls_->by_index == nullptr) {
    absent_because_ = fmt::format("{} lacks the calls of NVML", library);
  } else if (const Result failure = calls_->start(); failure != 0) {
    absent_because_ = fmt::format("NVML does not start (code {}): no driver is loaded, or no GPU is given to this process", failure);
  } else {
    calls_->started = true;
    if (const Result missing = calls_->first_device(&device_); missing != 0)
      absent_because_ = fmt::format("NVML finds no GPU (code {})", missing);
  }
}

Nvml::~Nvml() = default;

std::string Nvml::name() const {
  char text[96] = "";
  if (absent_because_.empty() && calls_->name != nullptr) calls_->name(device_, text, sizeof text);
  return text;
}

std::string Nvml::driver() const {
  char text[96] = "";
  if (absent_because_.empty() && calls_->driver != nullptr) calls_->driver(text, sizeof text);
  return text;
}

std::optional<double> Nvml::energy_joules() const {
  unsigned long long millijoules = 0;
  if (!absent_because_.empty() || calls_->energy == nullptr || calls_->energy(device_, &millijoules) != 0) return std::nullopt;
  return 1e-3 * static_cast<double>(millijoules);
}

std::optional<double> Nvml::watts() const {
  unsigned milliwatts = 0;
  if (!absent_because_.empty() || calls_->power == nullptr || calls_->power(device_, &milliwatts) != 0) return std::nullopt;
  return 1e-3 * milliwatts;
}

std::optional<double> Nvml::busy_share() const {
  Utilization use{};
  if (!absent_because_.empty() || calls_->utilization == nullptr || calls_->utilization(device_, &use) != 0) return std::nullopt;
  return 0.01 * use.gpu;
}

std::optional<Nvml::Memory> Nvml::memory() const {
  MemoryInfo info{};
  if (!absent_because_.empty() || calls_->memory == nullptr || calls_->memory(device_, &info) != 0) return std::nullopt;
  return Memory{static_cast<double>(info.total), static_cast<double>(info.used)};
}

}  // namespace fovea::study
