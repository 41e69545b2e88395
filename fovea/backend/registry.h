// The backends by name. The only place that knows which of them this build and this machine have.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/backend/backend.h"
#include "fovea/graph/precision.h"

namespace fovea {

enum class Purpose { correctness, speed };       // a backend for correctness is in no speed table unless asked for
enum class Precisions { fp32, fp32_bf16, all };  // in which a backend computes
enum class ByDefault { taken, left };            // whether a run takes it that names no backend

struct BackendEntry {
  std::string name;
  std::string description;
  Purpose purpose = Purpose::speed;
  Precisions precisions = Precisions::all;
  std::string absent_because;  // empty: it is here
  std::string remedy;          // how to get it
  ByDefault by_default = ByDefault::taken;
};

std::vector<BackendEntry> list_backends();  // in the order of the chains, absent ones too
bool computes_in(const BackendEntry& entry, const graph::Precision& precision);
std::unique_ptr<Backend> open_backend(std::string_view name);  // throws Error (device) with cause and remedy

// To be said before anything else is asked here where backends will be timed against their rivals: how a device loads its kernels is
// settled when it is first asked for, and depends on who will use it.
void expect_rivals();

// The other backends for speed that work in the same memory as this one. One of them may be absent.
std::vector<std::string> rivals_of(std::string_view name);

// Throws Error (config) if this backend, absent or not, does not compute in `precision`, or if that is the name of none.
graph::Precision require_precision(std::string_view backend, std::string_view precision);

}  // namespace fovea
