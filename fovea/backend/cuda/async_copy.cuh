// Hopper's asynchronous copies of tiles into shared memory, and the barriers that tell when they are complete. PTX ISA 8.0, "Tensor copy"
// and "mbarrier".
#pragma once

#include <cuda.h>

#include <cstdint>

namespace fovea::cuda {

__device__ inline uint32_t shared_address(const void* pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }

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
// at: channel, w, h, n of the first pixel's window; tap: how far along w and h the element lies in it.
__device__ inline void copy_patches(const CUtensorMap& map, Barrier& barrier, void* to, int4 at, ushort2 tap) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::
          "r"(shared_address(to)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(barrier.address()), "r"(at.x), "r"(at.y), "r"(at.z), "r"(at.w), "h"(tap.x), "h"(tap.y)
      : "memory");
}

}  // namespace fovea::cuda
