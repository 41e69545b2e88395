#include "fovea/backend/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/module.h"
#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/reference/backend.h"
#include "fovea/base/error.h"

namespace fovea {

namespace {

// To be said before the first call of CUDA. cuDNN brings many more kernels than a run needs: loaded all at once, as those of `cuda` are,
// they take 2.5 s and 2.4 GiB of the host's memory.
void announce(std::string_view backend) {
  if (backend == "cudnn") setenv("CUDA_MODULE_LOADING", "LAZY", 0);
}

// What is missing for `cuda` is missing for `cudnn` too.
const Absence& absence_of_cudnn() { return cuda_module().absence.none() ? cudnn_module().absence : cuda_module().absence; }

std::unique_ptr<Backend> open_from(const Module& module, const Absence& absence, std::string_view name) {
  if (!absence.none())
    throw Error(ErrorId::absent_backend, fmt::format("backend `{}` is not available here: {}", name, absence.because)).help(absence.remedy);
  return module.table->open();
}

}  // namespace

std::vector<BackendEntry> list_backends() {
  const Absence &no_cuda = cuda_module().absence, &no_cudnn = absence_of_cudnn();
  const Absence& no_onednn = absence_of_onednn();
  return {
      {"reference", "plain loops with wide accumulators, one thread: the judge of all others", Purpose::correctness, Precisions::all, "",
       ""},
      {"eigen", "im2col, Eigen matrix products and vectorised loops, one thread: the sequential baseline", Purpose::speed, Precisions::fp32,
       "", ""},
      {"openmp", "own blocked, vectorised kernels on all cores", Purpose::speed, Precisions::fp32, "", ""},
      {"onednn", "convolutions and matrix products by oneDNN on all cores, the rest as `openmp`", Purpose::speed, Precisions::fp32_bf16,
       no_onednn.because, no_onednn.remedy, ByDefault::left},
      {"cuda", "own CUDA kernels on the first GPU", Purpose::speed, Precisions::all, no_cuda.because, no_cuda.remedy},
      {"cudnn", "convolutions by cuDNN and linear layers by cuBLASLt on the first GPU, the rest as `cuda`", Purpose::speed, Precisions::all,
       no_cudnn.because, no_cudnn.remedy, ByDefault::left},
  };
}

bool computes_in(const BackendEntry& entry, const graph::Precision& precision) {
  return entry.precisions == Precisions::all || precision == graph::fp32 ||
         (entry.precisions == Precisions::fp32_bf16 && precision == graph::bf16);
}

std::unique_ptr<Backend> open_backend(std::string_view name) {
  announce(name);
  if (name == "reference") return std::make_unique<reference::ReferenceBackend>();
  if (name == "eigen") return std::make_unique<eigen::EigenBackend>();
  if (name == "openmp") return std::make_unique<openmp::OpenmpBackend>();
  if (name == "onednn") return open_from(onednn_module(), onednn_module().absence, name);
  if (name == "cuda") return open_from(cuda_module(), cuda_module().absence, name);
  if (name == "cudnn") return open_from(cudnn_module(), absence_of_cudnn(), name);
  std::vector<std::string> known;
  for (const BackendEntry& entry : list_backends()) known.push_back(entry.name);
  throw Error(ErrorId::unknown_backend, fmt::format("there is no backend `{}`", name))
      .help(fmt::format("this build has: {}", fmt::join(known, ", ")));
}

void expect_rivals() { announce("cudnn"); }

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
  announce(backend);
  const std::optional<graph::Precision> known = graph::precision_named(precision);
  if (!known)
    throw Error(ErrorId::unknown_name, fmt::format("there is no precision `{}`", precision)).help("take fp32, tf32, bf16 or fp16");
  for (const BackendEntry& entry : list_backends())
    if (entry.name == backend && !computes_in(entry, *known))
      throw Error(ErrorId::contradiction, fmt::format("precision {} is none of the backend `{}`, which computes in {}", precision, backend,
                                                      entry.precisions == Precisions::fp32 ? "fp32" : "fp32 and bf16"))
          .help(fmt::format("set precision = \"fp32\"{}, or backend = \"cuda\" on a machine with a GPU",
                            *known == graph::bf16 ? ", or backend = \"onednn\"" : ""));
  return *known;
}

KernelPtr make(Backend& backend, const Op& op, const Limits& limits) {
  return std::visit([&](const auto& o) { return backend.make(o, limits); }, op);
}

}  // namespace fovea
