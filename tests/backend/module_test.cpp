// Modules that fit, that were built for another program, that are none; and the backends of modules with and without a GPU.
#include "fovea/backend/module.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/base/installed.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(Module, ThatIsNotThereSaysHowToGetIt) {
  const Module module = open_module("/nowhere/libfovea_cuda.so", {"it was never built", "build it"});
  EXPECT_EQ(module.table, nullptr);
  EXPECT_EQ(module.absence.because, "it was never built");
  EXPECT_EQ(module.absence.remedy, "build it");
}

TEST(Module, OfAnotherBuildIsRefused) {
  const Module module = open_module(FOVEA_FOREIGN_MODULE, {});
  EXPECT_EQ(module.table, nullptr);
  EXPECT_TRUE(has(module.absence.because, "0123456789abcdef")) << module.absence.because;
  EXPECT_TRUE(has(module.absence.because, seam_build_id())) << module.absence.because;
  EXPECT_TRUE(has(module.absence.remedy, "build")) << module.absence.remedy;
}

TEST(Module, IsNotAnyLibrary) {
  const Module library = open_module(FOVEA_LIBRARY, {});
  EXPECT_EQ(library.table, nullptr);
  EXPECT_TRUE(has(library.absence.because, module_entry)) << library.absence.because;
  const std::string text = testing::TempDir() + "no_library.so";
  std::ofstream(text) << "no library";
  const Module nonsense = open_module(text, {});
  EXPECT_EQ(nonsense.table, nullptr);
  EXPECT_TRUE(has(nonsense.absence.because, "cannot be opened")) << nonsense.absence.because;
}

TEST(Module, BuildIdIsAHash) {
  const std::string id = seam_build_id();
  EXPECT_EQ(id.size(), 16u);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << id;
}

BackendEntry entry_of(std::string_view name) {
  const std::vector<BackendEntry> entries = list_backends();
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const BackendEntry& entry) { return entry.name == name; });
  return found != entries.end() ? *found : BackendEntry{};
}

class BackendOfModule : public testing::TestWithParam<std::string> {};

TEST_P(BackendOfModule, IsListedAndEitherWorksOrSaysWhyNot) {
  const BackendEntry entry = entry_of(GetParam());
  ASSERT_EQ(entry.name, GetParam());
  EXPECT_EQ(entry.absent_because.empty(), entry.remedy.empty());
  if (entry.absent_because.empty()) {
    const std::unique_ptr<Backend> backend = open_backend(GetParam());
    EXPECT_EQ(backend->name(), GetParam());
    EXPECT_GT(backend->device().memory_status().total, size_t{1} << 30);
    std::cout << "[   device ] " << backend->device().name() << "\n";
    return;
  }
  std::cout << "[   absent ] " << GetParam() << ": " << entry.absent_because << "\n";
  try {
    open_backend(GetParam());
    FAIL() << "an absent backend was opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::device);
    EXPECT_TRUE(has(error.what(), entry.absent_because)) << error.what();
    EXPECT_TRUE(has(error.what(), "help: " + entry.remedy)) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendOfModule, testing::Values("onednn", "cuda", "cudnn"),
                         [](const auto& info) { return info.param; });

// Where it looks first, anything by these names will do, for nothing is opened.
TEST(CudnnModule, SeesItsLibrariesWithoutOpeningThem) {
  const std::filesystem::path module = library_folder() / "libfovea_cudnn.so", folder = testing::TempDir() + "cudnn_libraries";
  if (!std::filesystem::exists(module)) GTEST_SKIP() << "this build has no cuDNN module";
  std::filesystem::create_directories(folder);
  for (const char* name : {"libcudnn.so.9", "libcublasLt.so.13"}) std::ofstream(folder / name) << "no library";
  const char* before = std::getenv("FOVEA_CUDNN_PATH");
  setenv("FOVEA_CUDNN_PATH", ("/nowhere:" + folder.string()).c_str(), 1);
  const Module found = open_module(module, {"it was never built", "build it"});
  if (before != nullptr)
    setenv("FOVEA_CUDNN_PATH", before, 1);
  else
    unsetenv("FOVEA_CUDNN_PATH");
  EXPECT_NE(found.table, nullptr);
  EXPECT_TRUE(found.absence.none()) << found.absence.because;
}

// Not even where it is the last one of the list: it takes long to open, and `cuda` measures faster on small networks.
TEST(Registry, OnlyWhoAsksForCudnnGetsIt) { EXPECT_EQ(entry_of("cudnn").by_default, ByDefault::left); }

TEST(CudaBackend, IsThereWhereAGpuIsRequired) {
  const std::string absent_because = entry_of("cuda").absent_because;
  EXPECT_TRUE(absent_because.empty() || !gpu_is_required()) << "FOVEA_REQUIRE_GPU=1, but " << absent_because;
}

}  // namespace
}  // namespace fovea::test
