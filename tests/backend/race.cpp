// A race within a loop of the team, which a build with ThreadSanitizer must report: if it does not, its silence elsewhere says nothing.
#include <atomic>
#include <cstdio>

#include "fovea/backend/openmp/parallel.h"

int main() {
  int written_by_both = 0;
  std::atomic<int> begun = 0;
  fovea::openmp::parallel_for(2, 2, [&](int64_t) {
    begun.fetch_add(1, std::memory_order_relaxed);
    while (begun.load(std::memory_order_relaxed) < 2) {
    }
    ++written_by_both;
  });
  std::printf("%d\n", written_by_both);
}
