// The GPU as NVIDIA's management library sees it, which is opened at run time: its power, energy, use and memory.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace fovea::study {

inline constexpr const char* nvml_library = "libnvidia-ml.so.1";

class Nvml {
 public:
  // The GPU that CUDA counts first. Without the library, a driver or a GPU it is absent, for a reason.
  explicit Nvml(const std::string& library = nvml_library);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  const std::string& absent_because() const { return absent_because_; }  // empty: it is here
  std::string name() const;
  std::string driver() const;

  // Each is nothing where this GPU does not say.
  std::optional<double> energy_joules() const;  // since the driver was loaded
  std::optional<double> watts() const;
  std::optional<double> busy_share() const;  // of the last sample period of the driver
  struct Memory {
    double total = 0, used = 0;  // bytes, of all programs
  };
  std::optional<Memory> memory() const;

 private:
  struct Calls;
  std::unique_ptr<Calls> calls_;
  void* device_ = nullptr;
  std::string absent_because_;
};

}  // namespace fovea::study
