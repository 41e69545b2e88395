// Asynchronous copies into shared memory: of a few bytes by each thread, and Hopper's of tiles, and the barriers that tell when they are
// complete. PTX ISA 8.0, "Tensor copy" and "mbarrier".
#pragma once

#include <cuda.h>

#include <cstdint>

#include "fovea/backend/cuda/dependent.cuh"

namespace fovea::cuda {

__device__ inline uint32_t shared_address(const void* pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }

// Copies of some bytes by each thread, under way when these return (PTX ISA 7.0, "cp.async"); on GPUs older than compute capability 8.0
// nothing calls them.
template <int bytes>
__device__ __forceinline__ void copy_async_of(unsigned char* to, const unsigned char* from) {
  if constexpr (compiled_for >= 800)
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(to)), "l"(from), "n"(bytes) : "memory");
}
__device__ inline void copy_sixteen(uint32_t to, const void* from, bool inside) {  // zeros where it is not
  if constexpr (compiled_for >= 800)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}
__device__ inline void end_copies() {  // of a group
  if constexpr (compiled_for >= 800) asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int groups>
__device__ void wait_for_copies() {  // all but the last `groups`
  if constexpr (compiled_for >= 800) asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}
__device__ inline void wait_for_all_copies() {
  if constexpr (compiled_for >= 800) asm volatile("cp.async.wait_all;" ::: "memory");
}

// A barrier in shared memory: a phase is complete when all arrivals and all announced bytes are there.
struct Barrier {
  uint64_t state;

  __device__ uint32_t address() const { return shared_address(&state); }
  __device__ void init(int arrivals) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address()), "r"(arrivals)); }
  __device__ void arrive() { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address()) : "memory"); }
  __device__ void arrive_and_expect(uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address()), "r"(bytes) : "memory");
  }
  __device__ void wait(uint32_t parity) const {
    asm volatile(
        "{\n.reg .pred done;\nwaiting:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra arrived;\nbra "
        "waiting;\narrived:\n}" ::"r"(address()),
        "r"(parity)
        : "memory");
  }
};

// What was written into barriers becomes visible to the copies.
__device__ inline void fence_barrier_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

__device__ inline void prefetch(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<uint64_t>(&map)) : "memory");
}

__device__ inline void copy_tile(const CUtensorMap& map, Barrier& barrier, void* to, int2 at) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
                   shared_address(to)),
               "l"(reinterpret_cast<uint64_t>(&map)), "r"(barrier.address()), "r"(at.x), "r"(at.y)
               : "memory");
}
__device__ inline void copy_tile(const CUtensorMap& map, Barrier& barrier, void* to, int3 at) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
                   shared_address(to)),
               "l"(reinterpret_cast<uint64_t>(&map)), "r"(barrier.address()), "r"(at.x), "r"(at.y), "r"(at.z)
               : "memory");
}
__device__ inline void copy_tile(const CUtensorMap& map, Barrier& barrier, void* to, int4 at) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(
                   shared_address(to)),
               "l"(reinterpret_cast<uint64_t>(&map)), "r"(barrier.address()), "r"(at.x), "r"(at.y), "r"(at.z), "r"(at.w)
               : "memory");
}
// at: channel, w, h, n of the first pixel's window; tap: how far along w and h the element lies in it.
__device__ inline void copy_patches(const CUtensorMap& map, Barrier& barrier, void* to, int4 at, ushort2 tap) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::
          "r"(shared_address(to)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(barrier.address()), "r"(at.x), "r"(at.y), "r"(at.z), "r"(at.w), "h"(tap.x), "h"(tap.y)
      : "memory");
}

}  // namespace fovea::cuda
