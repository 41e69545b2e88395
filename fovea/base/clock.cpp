#include "fovea/base/clock.h"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <limits>
#include <string>

namespace fovea {

double seconds_since_process_start() {
  std::ifstream file("/proc/self/stat");  // proc(5): field 22 is the start in clock ticks since boot; field 2, in brackets, may hold spaces
  file.ignore(std::numeric_limits<std::streamsize>::max(), ')');
  std::string field;
  for (int i = 3; i <= 22; ++i) file >> field;
  timespec now{};
  if (!file || clock_gettime(CLOCK_BOOTTIME, &now) != 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) -
         std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace fovea
