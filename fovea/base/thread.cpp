#include "fovea/base/thread.h"

#include <sched.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>

namespace fovea {

namespace {

struct Cpus {
  std::vector<int> cores, siblings;
};

std::string topology(int cpu, const char* what) {
  std::string text;
  std::ifstream("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/" + what) >> text;
  return text;
}

// A processor that the system tells nothing about counts as a core of its own.
Cpus find_cpus() {
  Cpus cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::set<std::pair<std::string, std::string>> seen;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    const std::string core = topology(cpu, "core_id");
    const bool is_first = core.empty() || seen.emplace(topology(cpu, "physical_package_id"), core).second;
    (is_first ? cpus.cores : cpus.siblings).push_back(cpu);
  }
  return cpus;
}

}  // namespace

int usable_threads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

std::vector<int> usable_cpus() {
  Cpus cpus = find_cpus();
  cpus.cores.insert(cpus.cores.end(), cpus.siblings.begin(), cpus.siblings.end());
  return cpus.cores;
}

int usable_cores() { return std::max(1, static_cast<int>(find_cpus().cores.size())); }

void pin_this_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

void parallel_for(int64_t n, int threads, const std::function<void(int64_t, int64_t)>& body) {
  const int64_t workers = std::clamp<int64_t>(threads, 1, std::max<int64_t>(n, 1));
  std::exception_ptr first;
  std::mutex mutex;
  const auto guarded = [&](int64_t worker) {
    try {
      body(n * worker / workers, n * (worker + 1) / workers);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    }
  };
  std::vector<std::thread> pool;
  for (int64_t worker = 1; worker < workers; ++worker) pool.emplace_back(guarded, worker);
  guarded(0);
  for (std::thread& thread : pool) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace fovea
