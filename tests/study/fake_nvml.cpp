// Stands for NVIDIA's management library: a GPU whose figures are known. FOVEA_FAKE_NVML says what kind of GPU it is.
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

bool is(std::string_view kind) {
  const char* set = std::getenv("FOVEA_FAKE_NVML");
  return set != nullptr && set == kind;
}

constexpr int not_supported = 3;
unsigned long long millijoules = 5'000'000;

}  // namespace

extern "C" {
int nvmlInit_v2() { return is("no driver") ? 9 : 0; }
int nvmlShutdown() { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = &millijoules;
  return index == 0 ? 0 : 6;
}
int nvmlDeviceGetName(void*, char* text, unsigned size) { return std::strncpy(text, "Fake GPU", size) == nullptr; }
int nvmlSystemGetDriverVersion(char* text, unsigned size) { return std::strncpy(text, "123.45", size) == nullptr; }
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* value) {
  *value = millijoules += 2000;
  return is("counter") ? 0 : not_supported;
}
int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) {
  *milliwatts = 150'000;
  return is("counter") || is("power") ? 0 : not_supported;
}
struct Utilization {
  unsigned gpu, memory;
};
int nvmlDeviceGetUtilizationRates(void*, Utilization* use) {
  *use = {75, 20};
  return 0;
}
struct Memory {
  unsigned long long total, free, used;
};
int nvmlDeviceGetMemoryInfo(void*, Memory* memory) {
  *memory = {80'000, 60'000, 20'000};
  return 0;
}
}
