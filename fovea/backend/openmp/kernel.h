// How the kernels of this backend are made, how many threads they take, and how they reach their buffers.
#pragma once

#include <algorithm>
#include <utility>

#include "fovea/backend/backend.h"

namespace fovea::openmp {

// Whether every tensor is float; the parent has the kernels for other types.
inline bool in_float(const Types& types) { return types == Types{}; }

// So many of the allowed threads that each has work enough to pay for its start: `work` in multiply-adds or floats moved.
inline int threads_for(const Limits& limits, int64_t work) {
  constexpr int64_t least_work = 8192;
  return static_cast<int>(std::clamp<int64_t>(work / least_work, 1, std::max(limits.threads, 1)));
}

inline const float* input(const Buffers& buffers, size_t i) { return buffers.in[i].as<float>().data(); }
inline float* output(const Buffers& buffers, size_t i) { return buffers.out[i].as<float>().data(); }

// What a step has when it runs.
struct Run {
  const Buffers& buffers;
  float* workspace;
  int threads;
};

template <class Op, class Function>
class ParallelKernel final : public Kernel {
 public:
  ParallelKernel(std::string algorithm, Op op, Function function, int threads, int64_t workspace_floats)
      : Kernel("openmp"),
        algorithm_(std::move(algorithm)),
        op_(std::move(op)),
        function_(std::move(function)),
        threads_(threads),
        workspace_bytes_(static_cast<size_t>(workspace_floats) * sizeof(float)) {}

  std::string algorithm() const override { return algorithm_; }
  int threads() const override { return threads_; }
  size_t workspace_bytes() const override { return workspace_bytes_; }
  void bind(Buffers buffers, void* workspace) override {
    buffers_ = std::move(buffers);
    workspace_ = static_cast<float*>(workspace);
  }
  void run(Stream&) override { function_(op_, Run{buffers_, workspace_, threads_}); }

 private:
  std::string algorithm_;
  Op op_;
  Function function_;
  int threads_;
  size_t workspace_bytes_;
  Buffers buffers_;
  float* workspace_ = nullptr;
};

// function(op, run) on `threads` threads (threads_for); how it was made is what `algorithm` says in the plan.
template <class Op, class Function>
KernelPtr kernel(std::string algorithm, Op op, Function function, int threads, int64_t workspace_floats = 0) {
  return std::make_unique<ParallelKernel<Op, Function>>(std::move(algorithm), std::move(op), std::move(function), threads,
                                                        workspace_floats);
}

}  // namespace fovea::openmp
