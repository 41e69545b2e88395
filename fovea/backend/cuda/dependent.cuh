// Dependent launches: a kernel may start once all blocks of the one in front of it have let it, and reads what that one wrote behind its
// wait. Before its wait it reads only what was complete before it could start: what came before a wait of the one in front that stands
// before the place where that one lets it start. Both do nothing in kernels that were not launched so. CUDA programming guide,
// "Programmatic dependent launch".
#pragma once

namespace fovea::cuda {

#ifdef __CUDA_ARCH__
constexpr int compiled_for = __CUDA_ARCH__;
#else
constexpr int compiled_for = 0;
#endif

__device__ inline void wait_for_kernel_before() {
  if constexpr (compiled_for >= 900) asm volatile("griddepcontrol.wait;" ::: "memory");
}
__device__ inline void let_next_kernel_start() {
  if constexpr (compiled_for >= 900) asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

}  // namespace fovea::cuda
