// A loop over indices on all cores.
#pragma once

#include <cstdint>
#include <functional>

namespace fovea {

int usable_threads();  // what the process may use (its affinity mask), at least 1

// Calls body(begin, end) on disjoint ranges that together cover [0, n), on `threads` threads; the first exception is thrown again here.
void parallel_for(int64_t n, int threads, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace fovea
