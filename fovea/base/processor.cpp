#include "fovea/base/processor.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace fovea {

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

size_t memory_bytes() { return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

size_t cache_bytes() {
  size_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size");  // "32768K"
    size_t kib = 0;
    if (file >> kib) largest = std::max(largest, kib << 10);
  }
  return largest > 0 ? largest : size_t{32} << 20;
}

}  // namespace fovea
