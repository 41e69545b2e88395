// Whole files: read, looked for, and replaced atomically (temporary file, fsync, rename, fsync of the folder).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace fovea {

// The system calls by which files are written. Tests put their own in the place of these to let one of them fail.
class FileCalls {
 public:
  virtual ~FileCalls() = default;
  virtual int open(const char* path, int flags);
  virtual ssize_t write(int file, const void* bytes, size_t count);
  virtual int fsync(int file);
  virtual int rename(const char* from, const char* to);
};

// While it lives, all files are written by `calls`. Not for programs with several threads that begin or end to use one.
class UseFileCalls {
 public:
  explicit UseFileCalls(FileCalls& calls);
  ~UseFileCalls();
  UseFileCalls(const UseFileCalls&) = delete;
  UseFileCalls& operator=(const UseFileCalls&) = delete;

 private:
  FileCalls* before_;
};

std::string read_file(const std::filesystem::path& path);  // throws Error (data)
std::string read_text(const std::filesystem::path& path);  // the same for what people write: refuses more than 16 MiB

// For what the standard library's questions of these names throw, the answer is no.
bool is_folder(const std::filesystem::path& path);
bool is_there(const std::filesystem::path& path);

// A file that is written beside its place and appears there whole, or not at all. Errors (data) name the file and what it still needs.
class NewFile {
 public:
  explicit NewFile(std::filesystem::path place);
  ~NewFile();  // removes what was not put in place
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(std::span<const std::string_view> parts);         // one after another, down to the disk
  void put_in_place(const std::filesystem::path& older = {});  // a file that stands in the place moves to `older`, if that is given

 private:
  std::filesystem::path place_, folder_, temporary_;
  int file_ = -1;
};

// After this returns the file holds all the bytes; before that it is what it was.
void replace_file(const std::filesystem::path& path, std::string_view bytes);

// What writers that were killed have left in a folder.
void remove_temporary_files(const std::filesystem::path& folder);

uint64_t free_bytes(const std::filesystem::path& folder);  // that this user may still write; throws Error (data)

}  // namespace fovea
