#include "fovea/backend/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/module.h"
#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/reference/backend.h"
#include "fovea/base/error.h"

namespace fovea {

namespace {

std::unique_ptr<Backend> open_cuda() {
  const Module& module = cuda_module();
  if (!module.absence.none())
    throw Error(ErrorId::absent_backend, "backend `cuda` is not available here: " + module.absence.because).help(module.absence.remedy);
  return module.table->open();
}

}  // namespace

std::vector<BackendEntry> list_backends() {
  const Absence& no_cuda = cuda_module().absence;
  return {
      {"reference", "plain loops with wide accumulators, one thread: the judge of all others", Purpose::correctness, Precisions::all, "",
       ""},
      {"eigen", "im2col, Eigen matrix products and vectorised loops, one thread: the sequential baseline", Purpose::speed, Precisions::fp32,
       "", ""},
      {"openmp", "own blocked, vectorised kernels on all cores", Purpose::speed, Precisions::fp32, "", ""},
      {"cuda", "own CUDA kernels on the first GPU", Purpose::speed, Precisions::all, no_cuda.because, no_cuda.remedy},
  };
}

std::unique_ptr<Backend> open_backend(std::string_view name) {
  if (name == "reference") return std::make_unique<reference::ReferenceBackend>();
  if (name == "eigen") return std::make_unique<eigen::EigenBackend>();
  if (name == "openmp") return std::make_unique<openmp::OpenmpBackend>();
  if (name == "cuda") return open_cuda();
  std::vector<std::string> known;
  for (const BackendEntry& entry : list_backends()) known.push_back(entry.name);
  throw Error(ErrorId::unknown_backend, fmt::format("there is no backend `{}`", name))
      .help(fmt::format("this build has: {}", fmt::join(known, ", ")));
}

std::vector<std::string> rivals_of(std::string_view name) {
  const std::vector<std::vector<std::string>> families = {{"eigen", "openmp", "onednn"}, {"cuda", "cudnn"}};
  std::vector<std::string> rivals;
  for (const std::vector<std::string>& family : families)
    if (std::find(family.begin(), family.end(), name) != family.end())
      for (const BackendEntry& entry : list_backends())
        if (entry.name != name && std::find(family.begin(), family.end(), entry.name) != family.end()) rivals.push_back(entry.name);
  return rivals;
}

graph::Precision require_precision(std::string_view backend, std::string_view precision) {
  const std::optional<graph::Precision> known = graph::precision_named(precision);
  if (!known)
    throw Error(ErrorId::unknown_name, fmt::format("there is no precision `{}`", precision)).help("take fp32, tf32, bf16 or fp16");
  for (const BackendEntry& entry : list_backends())
    if (entry.name == backend && entry.precisions == Precisions::fp32 && *known != graph::fp32)
      throw Error(
          ErrorId::contradiction,
          fmt::format("precision {} needs a GPU or `reference`, but the backend is `{}`, which computes in fp32", precision, backend))
          .help("set precision = \"fp32\", or backend = \"cuda\" on a machine with a GPU");
  return *known;
}

KernelPtr make(Backend& backend, const Op& op, const Limits& limits) {
  return std::visit([&](const auto& o) { return backend.make(o, limits); }, op);
}

}  // namespace fovea
