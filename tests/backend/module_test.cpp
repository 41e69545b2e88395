// Modules that fit, that were built for another program, that are none; and the backend `cuda` with and without a GPU.
#include "fovea/backend/module.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(Module, ThatIsNotThereSaysHowToGetIt) {
  const Module module = open_module("/nowhere/libfovea_cuda.so");
  EXPECT_EQ(module.table, nullptr);
  EXPECT_TRUE(has(module.absence.because, "no CUDA module")) << module.absence.because;
  EXPECT_TRUE(has(module.absence.because, "/nowhere/libfovea_cuda.so")) << module.absence.because;
  EXPECT_TRUE(has(module.absence.remedy, "nvcc")) << module.absence.remedy;
}

TEST(Module, OfAnotherBuildIsRefused) {
  const Module module = open_module(FOVEA_FOREIGN_MODULE);
  EXPECT_EQ(module.table, nullptr);
  EXPECT_TRUE(has(module.absence.because, "0123456789abcdef")) << module.absence.because;
  EXPECT_TRUE(has(module.absence.because, seam_build_id())) << module.absence.because;
  EXPECT_TRUE(has(module.absence.remedy, "build")) << module.absence.remedy;
}

TEST(Module, IsNotAnyLibrary) {
  const Module library = open_module(FOVEA_LIBRARY);
  EXPECT_EQ(library.table, nullptr);
  EXPECT_TRUE(has(library.absence.because, module_entry)) << library.absence.because;
  const std::string text = testing::TempDir() + "no_library.so";
  std::ofstream(text) << "no library";
  const Module nonsense = open_module(text);
  EXPECT_EQ(nonsense.table, nullptr);
  EXPECT_TRUE(has(nonsense.absence.because, "cannot be opened")) << nonsense.absence.because;
}

TEST(Module, BuildIdIsAHash) {
  const std::string id = seam_build_id();
  EXPECT_EQ(id.size(), 16u);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << id;
}

BackendEntry cuda_entry() {
  const std::vector<BackendEntry> entries = list_backends();
  const auto found = std::find_if(entries.begin(), entries.end(), [](const BackendEntry& entry) { return entry.name == "cuda"; });
  return found != entries.end() ? *found : BackendEntry{};
}

TEST(CudaBackend, IsListedAndEitherWorksOrSaysWhyNot) {
  const BackendEntry entry = cuda_entry();
  ASSERT_EQ(entry.name, "cuda");
  EXPECT_EQ(entry.absent_because.empty(), entry.remedy.empty());
  if (entry.absent_because.empty()) {
    const std::unique_ptr<Backend> backend = open_backend("cuda");
    EXPECT_EQ(backend->name(), "cuda");
    EXPECT_GT(backend->device().memory_status().total, size_t{1} << 30);
    std::cout << "[   device ] " << backend->device().name() << "\n";
    return;
  }
  std::cout << "[   absent ] cuda: " << entry.absent_because << "\n";
  try {
    open_backend("cuda");
    FAIL() << "an absent backend was opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::device);
    EXPECT_TRUE(has(error.what(), entry.absent_because)) << error.what();
    EXPECT_TRUE(has(error.what(), "help: " + entry.remedy)) << error.what();
  }
}

TEST(CudaBackend, IsThereWhereAGpuIsRequired) {
  const std::string absent_because = cuda_entry().absent_because;
  EXPECT_TRUE(absent_because.empty() || !gpu_is_required()) << "FOVEA_REQUIRE_GPU=1, but " << absent_because;
}

}  // namespace
}  // namespace fovea::test
