// A run whose k-th call to the system fails, for every k: what was saved before is whole, the message says which file, and the run goes on
// to the same bits when the disk is well again.
#include <fcntl.h>
#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <iostream>
#include <thread>

#include "fovea/train/checkpoint.h"
#include "tests/train/busy_run.h"

namespace fovea::train {
namespace {

using data::error_text;

enum class Call : uint8_t { open, write, fsync, rename };
constexpr Call all_calls[] = {Call::open, Call::write, Call::fsync, Call::rename};

// Lets the calls of one kind fail from number `first` on.
class FaultyCalls final : public FileCalls {
 public:
  FaultyCalls(Call kind, int64_t first, int cause) : kind_(kind), first_(first), cause_(cause) {}

  int open(const char* path, int flags) override { return fails(Call::open) ? -1 : FileCalls::open(path, flags); }
  ssize_t write(int file, const void* bytes, size_t count) override {
    if (!fails(Call::write)) return FileCalls::write(file, bytes, count);
    if (count > 1 && !was_cut_.exchange(true)) return FileCalls::write(file, bytes, count / 2);  // as far as there is room
    errno = cause_;
    return -1;
  }
  int fsync(int file) override { return fails(Call::fsync) ? -1 : FileCalls::fsync(file); }
  int rename(const char* from, const char* to) override { return fails(Call::rename) ? -1 : FileCalls::rename(from, to); }

  int64_t count() const { return count_; }

 private:
  bool fails(Call kind) {
    if (kind != kind_ || count_++ < first_) return false;
    errno = cause_;
    return true;
  }

  Call kind_;
  int64_t first_;
  int cause_;
  std::atomic<int64_t> count_ = 0;
  std::atomic<bool> was_cut_ = false;
};

// Whether the call came to fail.
bool fails(BusyRun& run, FaultyCalls& calls, const std::string& name) {
  StopAt notes;
  std::string text;
  {
    const UseFileCalls in_use(calls);
    try {
      run.run(name, notes);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data) << error.what();
      text = error.what();
    }
  }
  if (text.empty()) return false;
  EXPECT_NE(text.find(run.path(name).string()), std::string::npos) << text;
  EXPECT_TRUE(notes.saved == 0 || load_checkpoint(run.path(name)));
  return true;
}

TEST(DiskFaults, AtEveryCallLeaveWhatWasSaved) {
  BusyRun run;
  run.recipe.epochs = 2;
  const std::string expected = what_came_out(*run.run("whole"));
  constexpr int causes[] = {EROFS, ENOSPC, EIO, EACCES};
  for (const Call kind : all_calls) {
    int64_t k = 0;
    for (bool failed = true; failed; ++k) {
      SCOPED_TRACE(fmt::format("kind {}, call {}", static_cast<int>(kind), k));
      const std::string name = fmt::format("run{}-{}", static_cast<int>(kind), k);
      FaultyCalls calls(kind, k, causes[static_cast<size_t>(kind)]);
      failed = fails(run, calls, name);
      const bool finished = std::filesystem::exists(run.path(name) / result_file);  // the last call of all flushes the folder
      EXPECT_TRUE(failed || finished);
      if (finished) continue;
      const std::optional<FinishedRun> resumed = run.run(name);
      ASSERT_TRUE(resumed);
      EXPECT_EQ(what_came_out(*resumed), expected);
    }
    EXPECT_GT(k, 5);
    std::cout << "[   counts ] " << k - 1 << " calls of kind " << static_cast<int>(kind) << " that fail\n";
  }
}

// On a disk as slow as that, steps go on while a checkpoint is written.
TEST(SlowDisk, DoesNotHoldUpTheSteps) {
  class SlowCalls final : public FileCalls {
    int fsync(int file) override {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return FileCalls::fsync(file);
    }
  } calls;
  struct Watcher final : Callbacks {
    bool stop_requested() override { return ++asked, false; }
    void on_note(const Note& note) override { saved += note.kind == Note::Kind::saved; }
    int asked = 0, saved = 0;
  } watcher;
  BusyRun run;
  run.recipe.epochs = 6;
  const std::string expected = what_came_out(*run.run("whole"));
  run.recipe.save_every = "1 step";
  const UseFileCalls in_use(calls);
  EXPECT_EQ(what_came_out(*run.run("run", watcher)), expected);
  EXPECT_GT(watcher.saved, 0);
  EXPECT_LT(3 * watcher.saved, watcher.asked);
}

TEST(DiskFaults, OfAFullDiskSayWhatIsMissing) {
  BusyRun run;
  FaultyCalls calls(Call::write, 5, ENOSPC);
  const UseFileCalls in_use(calls);
  const std::string text = error_text(ExitCode::data, [&] { run.run("run"); });
  EXPECT_NE(text.find("No space left on device"), std::string::npos) << text;
  EXPECT_NE(text.find("bytes were still to be written"), std::string::npos) << text;
  EXPECT_NE(text.find("make room"), std::string::npos) << text;
}

TEST(DiskFaults, TooLittleRoomIsSeenBeforeTheFirstStep) {
  BusyRun run;
  StopAt silent;
  run.recipe.out = run.path("run").string();
  const Saver saver({run.path(""), {}, {}, {}}, silent);
  saver.check_space(1 << 20, 1 << 20);
  const std::string text = error_text(ExitCode::data, [&] { saver.check_space(size_t{1} << 60, 0); });
  EXPECT_NE(text.find(run.path("").string()), std::string::npos) << text;
  EXPECT_NE(text.find("MiB"), std::string::npos) << text;
}

}  // namespace
}  // namespace fovea::train
