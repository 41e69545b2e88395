// Runs the program within bounds, and measures what it took.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>

#include "tests/cli/program.h"

namespace fovea::cli {

struct Limited {
  int code = 0;
  std::string error;
  double cpu_seconds = 0;  // of the processor: the wall clock tells of the other programs too
  int64_t peak_bytes = 0;
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // which reserve terabytes and hold several times what is asked for
constexpr rlim_t address_space = RLIM_INFINITY;
constexpr int64_t most_peak_bytes = int64_t{4} << 30;
#else
constexpr rlim_t address_space = int64_t{8} << 30;
constexpr int64_t most_peak_bytes = int64_t{256} << 20;
#endif
constexpr rlim_t most_seconds = 10;

// As if not even root could read what is forbidden: PR_CAPBSET_DROP takes effect with exec.
inline void obey_permissions() {
  constexpr int cap_dac_override = 1, cap_dac_read_search = 2;
  ::prctl(PR_CAPBSET_DROP, cap_dac_override);
  ::prctl(PR_CAPBSET_DROP, cap_dac_read_search);
}

inline void bound_this_process() {
  const rlimit memory{address_space, address_space};
  ::setrlimit(RLIMIT_AS, &memory);
  const rlimit cpu{most_seconds, most_seconds};
  ::setrlimit(RLIMIT_CPU, &cpu);
  ::alarm(6 * most_seconds);  // where it waits for something
}

// `arguments` as for a shell; {} in them is the folder.
inline Limited run_limited(const Program& program, const std::string& arguments) {
  const std::string command = "exec " + program.command(arguments) + " >" + program.path("stdout").string() + " 2>" +
                              program.path("stderr").string() + " </dev/null";
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("no process for the program");
  if (child == 0) {
    obey_permissions();
    ::setenv("CUDA_VISIBLE_DEVICES", "", 1);  // no GPU on any machine
    bound_this_process();
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  Limited limited;
  limited.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  limited.error = read_file(program.path("stderr"));
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); };
  limited.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  limited.peak_bytes = usage.ru_maxrss * 1024;
  std::filesystem::remove(program.path("stdout"));
  std::filesystem::remove(program.path("stderr"));
  return limited;
}

// Every file in the folder of the program, with its size and when it was last written.
inline std::map<std::string, std::string> files_of(const Program& program) {
  std::map<std::string, std::string> files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(program.path(""), std::filesystem::directory_options::skip_permission_denied)) {
    struct stat status {};
    ::lstat(entry.path().c_str(), &status);
    files[entry.path().string()] = S_ISDIR(status.st_mode)
                                       ? "a folder"
                                       : fmt::format("{} bytes of {}.{:09}", status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  }
  return files;
}

}  // namespace fovea::cli
