#include "fovea/base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
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

Error system_error(ErrorId id, std::string_view action, const std::filesystem::path& path) {
  return Error(id, fmt::format("cannot {} `{}`: {}", action, path.string(), std::strerror(errno)));
}

FileCalls& standard_calls() {
  static FileCalls calls;
  return calls;
}

std::atomic<FileCalls*> calls_in_use = &standard_calls();

Error write_error(std::string_view action, const std::filesystem::path& path, uint64_t needed) {
  const int cause = errno;
  Error error = system_error(ErrorId::cannot_write, action, path);
  if (needed > 0) error.note(fmt::format("{} bytes were still to be written", needed));
  if (cause == ENOSPC || cause == EDQUOT) error.help("make room for them, or name another folder");
  if (cause == EROFS || cause == EACCES) error.help("name a folder that can be written");
  return error;
}

std::string temporary_prefix(const std::filesystem::path& place) { return fmt::format(".{}.", place.filename().string()); }
constexpr std::string_view temporary_suffix = ".tmp";

std::string read(const std::filesystem::path& path, size_t most) {
  const Descriptor file(path, O_RDONLY);
  struct stat status;
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) throw system_error(ErrorId::cannot_read, "read", path);
  if (S_ISDIR(status.st_mode))
    throw Error(ErrorId::cannot_read, fmt::format("cannot read `{}`: it is a folder, not a file", path.string()));
  const auto refuse_beyond = [&](size_t size) {
    if (size > most)
      throw Error(ErrorId::too_large_file,
                  fmt::format("`{}` has more than {} bytes, which is more than is read of a text", path.string(), most));
  };
  refuse_beyond(static_cast<size_t>(status.st_size));
  std::string bytes(static_cast<size_t>(status.st_size) + 1, '\0');  // one more than expected: sees the end
  size_t filled = 0;
  while (true) {
    if (filled == bytes.size()) bytes.resize(bytes.size() * 2);
    const ssize_t count = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw system_error(ErrorId::cannot_read, "read", path);
    if (count == 0) break;
    filled += static_cast<size_t>(count);
    refuse_beyond(filled);  // a device or pipe has no size
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace

std::string read_file(const std::filesystem::path& path) { return read(path, SIZE_MAX); }

std::string read_text(const std::filesystem::path& path) {
  constexpr size_t most = size_t{16} << 20;
  return read(path, most);
}

bool is_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

int FileCalls::open(const char* path, int flags) { return ::open(path, flags | O_CLOEXEC, 0644); }
ssize_t FileCalls::write(int file, const void* bytes, size_t count) { return ::write(file, bytes, count); }
int FileCalls::fsync(int file) { return ::fsync(file); }
int FileCalls::rename(const char* from, const char* to) { return ::rename(from, to); }

UseFileCalls::UseFileCalls(FileCalls& calls) : before_(calls_in_use.exchange(&calls)) {}
UseFileCalls::~UseFileCalls() { calls_in_use = before_; }

NewFile::NewFile(std::filesystem::path place)
    : place_(std::move(place)),
      folder_(place_.has_parent_path() ? place_.parent_path() : "."),
      temporary_(folder_ / fmt::format("{}{}{}", temporary_prefix(place_), ::getpid(), temporary_suffix)),
      file_(calls_in_use.load()->open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC)) {
  if (file_ < 0) throw write_error("create", temporary_, 0);
}

NewFile::~NewFile() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(temporary_.c_str());
}

void NewFile::write(std::span<const std::string_view> parts) {
  uint64_t needed = 0;
  for (const std::string_view part : parts) needed += part.size();
  for (std::string_view part : parts)
    while (!part.empty()) {
      const ssize_t written = calls_in_use.load()->write(file_, part.data(), part.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw write_error("write", temporary_, needed);
      part.remove_prefix(static_cast<size_t>(written));
      needed -= static_cast<size_t>(written);
    }
  if (calls_in_use.load()->fsync(file_) != 0) throw write_error("flush to disk", temporary_, 0);
}

void NewFile::put_in_place(const std::filesystem::path& older) {
  FileCalls& calls = *calls_in_use;
  if (!older.empty() && std::filesystem::exists(place_) && calls.rename(place_.c_str(), older.c_str()) != 0)
    throw write_error("keep the older file as", older, 0);
  if (calls.rename(temporary_.c_str(), place_.c_str()) != 0) throw write_error("rename the finished file to", place_, 0);
  ::close(file_);
  file_ = -1;
  const int folder = calls.open(folder_.c_str(), O_RDONLY | O_DIRECTORY);
  if (folder < 0) throw write_error("open the folder", folder_, 0);
  const int result = calls.fsync(folder);
  const int cause = errno;
  ::close(folder);
  errno = cause;
  if (result != 0) throw write_error("flush to disk the folder", folder_, 0);
}

void replace_file(const std::filesystem::path& path, std::string_view bytes) {
  NewFile file(path);
  file.write({&bytes, 1});
  file.put_in_place();
}

void remove_temporary_files(const std::filesystem::path& folder) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".") && name.ends_with(temporary_suffix)) std::filesystem::remove(entry.path(), failure);
  }
}

uint64_t free_bytes(const std::filesystem::path& folder) {
  std::error_code failure;
  const std::filesystem::space_info space = std::filesystem::space(folder, failure);
  if (failure)
    throw Error(ErrorId::cannot_write, fmt::format("cannot tell the free space of `{}`: {}", folder.string(), failure.message()));
  return space.available;
}

}  // namespace fovea
