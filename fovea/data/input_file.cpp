// POSIX descriptors and pread.
#include "fovea/data/input_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fovea/base/error.h"

namespace fovea::data {
namespace {

Error read_error(const std::filesystem::path& path, std::string_view cause) {
  return Error(ErrorId::cannot_read, fmt::format("cannot read `{}`: {}", path.string(), cause));
}

}  // namespace

// O_NONBLOCK: to open a pipe would wait for somebody to write to it.
InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)), fd_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (fd_ < 0) throw read_error(path_, std::strerror(errno));
  struct stat status;
  const bool known = ::fstat(fd_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(fd_);
    throw read_error(path_, "it is not a file");
  }
  size_ = status.st_size;
}

InputFile::~InputFile() { ::close(fd_); }

void InputFile::read(int64_t offset, std::span<uint8_t> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(fd_, out.data(), out.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw read_error(path_, std::strerror(errno));
    if (count == 0) throw read_error(path_, fmt::format("it ends at byte {}, {} bytes too early", offset, out.size()));
    out = out.subspan(static_cast<size_t>(count));
    offset += count;
  }
}

std::string why_missing(const std::filesystem::path& folder, std::span<const std::string> files) {
  struct stat status;
  if (::stat((folder / ".").c_str(), &status) == 0)
    return fmt::format("the folder `{}` lacks {}", folder.string(), fmt::join(files.begin(), files.end(), ", "));
  if (errno == ENOENT) return fmt::format("there is no folder `{}`", folder.string());
  return fmt::format("cannot look into the folder `{}`: {}", folder.string(), std::strerror(errno));
}

}  // namespace fovea::data
