// What this machine computes with.
#pragma once

#include <cstddef>
#include <string>

namespace fovea {

std::string processor_name();  // "AMD EPYC 9575F"
size_t memory_bytes();         // of the machine
size_t free_memory_bytes();    // that this process may still take: of the machine, and of its control group
size_t cache_bytes();          // of the last level, as one processor sees it; 32 MiB where the system does not say

}  // namespace fovea
