#include "fovea/base/processor.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string_view>

namespace fovea {

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

size_t memory_bytes() { return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

namespace {

constexpr size_t no_bound = std::numeric_limits<size_t>::max();

// The number behind `name` in a file of lines such as "MemAvailable:  123 kB"; `otherwise` if there is none.
size_t number_in(const std::string& path, std::string_view name, size_t otherwise) {
  std::ifstream file(path);
  std::string word;
  size_t number = 0;
  while (file >> word)
    if (word == name) return file >> number ? number : otherwise;
  return otherwise;
}

size_t number_in(const std::string& path, size_t otherwise) {
  std::ifstream file(path);
  size_t number = 0;
  return file >> number ? number : otherwise;  // "max" is no number
}

// Of control groups, version 2. What files take in memory is given up when a process asks for it.
size_t free_in_groups() {
  std::ifstream file("/proc/self/cgroup");
  std::filesystem::path group = "/";
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("0::/")) group = line.substr(3);
  size_t free = no_bound;
  for (bool is_root = false; !is_root; group = group.parent_path()) {
    is_root = group == group.parent_path();
    const std::string folder = "/sys/fs/cgroup" + group.string();
    const size_t most = number_in(folder + "/memory.max", no_bound), taken = number_in(folder + "/memory.current", 0);
    const size_t of_files = number_in(folder + "/memory.stat", "file", 0);
    if (most != no_bound) free = std::min(free, most - std::min(most, taken - std::min(taken, of_files)));
  }
  return free;
}

}  // namespace

size_t free_memory_bytes() {
  const size_t of_machine = number_in("/proc/meminfo", "MemAvailable:", memory_bytes() >> 10) << 10;
  return std::min(of_machine, free_in_groups());
}

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
