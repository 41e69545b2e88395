#include "fovea/train/run_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "fovea/base/build_info.h"
#include "fovea/base/error.h"
#include "fovea/train/run_folder.h"

namespace fovea::train {

RunLog::RunLog(const std::filesystem::path& folder)
    : path_(folder / log_file), file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (file_ < 0)
    throw Error(ErrorId::cannot_write, fmt::format("cannot write `{}`: {}", path_.string(), std::strerror(errno)))
        .help("name a folder that can be written");
  if (::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {  // a file system without locks leaves this to the user
    ::close(file_);
    throw Error(ErrorId::run_in_use, fmt::format("another process is running in `{}`", folder.string()))
        .help("wait until it has ended, or name another --out");
  }
}

RunLog::~RunLog() { ::close(file_); }

void RunLog::clear() {
  if (::ftruncate(file_, 0) != 0)
    throw Error(ErrorId::cannot_write, fmt::format("cannot clear `{}`: {}", path_.string(), std::strerror(errno)));
}

void RunLog::write(const std::string& text) {
  const std::string line = fmt::format("{:%Y-%m-%dT%H:%M:%SZ} {}\n", fmt::gmtime(std::time(nullptr)), text);
  if (::write(file_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    throw Error(ErrorId::cannot_write, fmt::format("cannot write {} bytes to `{}`: {}", line.size(), path_.string(), std::strerror(errno)))
        .help("make room for them");
}

void RunLog::on_start(const RunInfo& info) {
  const BuildInfo build = build_info();
  write(fmt::format("fovea {} ({}, {}, {}), process {}", build.version, build.commit, build.compiler, build.type, ::getpid()));
  write(fmt::format("{} ({} parameters) on {}; backend {}, {}, {} threads, on {}; {} training and {} test images; {} epochs, batch {}",
                    info.model, info.parameters, info.data, info.backend, info.precision, info.threads, info.device, info.train_images,
                    info.test_images, info.epochs, info.batch));
}

void RunLog::on_epoch(const Epoch& epoch) {
  std::string line = fmt::format("epoch {}: loss {:.6f}, accuracy {:.4f}", epoch.epoch, epoch.train.loss, epoch.train.accuracy);
  if (epoch.valid) line += fmt::format(", valid loss {:.6f}, valid accuracy {:.4f}", epoch.valid->loss, epoch.valid->accuracy);
  write(fmt::format("{}; {:.0f} images/s", line, epoch.images_per_second));
}

void RunLog::on_note(const Note& note) { write((note.kind == Note::Kind::warning ? "warning: " : "") + note.text); }

}  // namespace fovea::train
