#include "fovea/base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fovea/base/error.h"

namespace fovea {
namespace {

class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Error system_error(std::string_view action, const std::filesystem::path& path) {
  return Error(ExitCode::data, fmt::format("cannot {} `{}`: {}", action, path.string(), std::strerror(errno)));
}

void write_all(int fd, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw system_error("write", path).note(fmt::format("{} bytes were still to be written", bytes.size()));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY);
  struct stat status;
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) throw system_error("read", path);
  if (S_ISDIR(status.st_mode)) throw Error(ExitCode::data, fmt::format("cannot read `{}`: it is a folder, not a file", path.string()));
  std::string bytes(static_cast<size_t>(status.st_size) + 1, '\0');  // one more than expected: sees the end
  size_t filled = 0;
  while (true) {
    if (filled == bytes.size()) bytes.resize(bytes.size() * 2);
    const ssize_t count = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw system_error("read", path);
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

void replace_file(const std::filesystem::path& path, std::string_view bytes) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const std::filesystem::path temporary = folder / fmt::format(".{}.{}.tmp", path.filename().string(), ::getpid());
  try {
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.get() < 0) throw system_error("create", temporary);
    write_all(file.get(), bytes, temporary);
    if (::fsync(file.get()) != 0) throw system_error("flush to disk", temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw system_error("rename the finished file to", path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  const Descriptor directory(folder, O_RDONLY | O_DIRECTORY);
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) throw system_error("flush to disk the folder", folder);
}

}  // namespace fovea
