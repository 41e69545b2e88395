// A loop over indices on all cores.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace fovea {

int usable_threads();            // what the process may use (its affinity mask), at least 1
std::vector<int> usable_cpus();  // the same, each by the system's number: one of each physical core first, then their siblings
int usable_cores();              // the physical ones among them, at least 1
void pin_this_thread(int cpu);   // as far as the system allows it

// Calls body(begin, end) on disjoint ranges that together cover [0, n), on `threads` threads; the first exception is thrown again here.
void parallel_for(int64_t n, int threads, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace fovea
