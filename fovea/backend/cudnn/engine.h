// What a library offers for an operator: engines, each with its settings. One is chosen, by measurement where that is asked for, and
// becomes the kernel.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fovea/backend/backend.h"

namespace fovea::cudnn {

// An engine with the addresses that it works on.
class BoundEngine {
 public:
  virtual ~BoundEngine() = default;
  virtual void run(Stream& stream) = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual size_t workspace_bytes() const = 0;
  virtual std::unique_ptr<BoundEngine> bind(std::span<void* const> tensors, void* workspace) = 0;  // inputs, then outputs
};

class Offer {
 public:
  virtual ~Offer() = default;
  virtual size_t size() const = 0;                      // in the order in which the library takes them to be fast
  virtual std::string name(size_t i) const = 0;         // the engine and its settings: no other one of this offer has it
  virtual std::shared_ptr<Engine> build(size_t i) = 0;  // nullptr where it turns out not to be able to
};

struct Operand {
  DType dtype;
  int64_t elements;
};

struct Problem {
  std::string text;               // all that the times depend on
  std::vector<Operand> operands;  // inputs, then outputs
};

struct Chosen {
  std::string name;
  std::shared_ptr<Engine> engine;  // nullptr: the library has none
};

inline constexpr size_t most_workspace = size_t{256} << 20;

// The one that was kept for this problem; else, where there is a tuning to keep it in, the fastest of the first few; else the first.
Chosen choose(const Problem& problem, Offer& offer, Device& device, Tuning* tuning);

KernelPtr make_kernel(const Chosen& chosen);

}  // namespace fovea::cudnn
