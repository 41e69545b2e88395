#include "fovea/study/energy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>

namespace fovea::study {
namespace {

std::optional<double> number_in(const std::filesystem::path& file) {
  std::ifstream stream(file);
  double number = 0;
  if (!(stream >> number)) return std::nullopt;
  return number;
}

std::string word_in(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string word;
  stream >> word;
  return word;
}

// Sorted, so that what is said about them is always the same.
std::vector<std::filesystem::path> zones_in(const std::filesystem::path& powercap) {
  std::vector<std::filesystem::path> zones;
  std::error_code failure;
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(powercap, failure))
    if (entry.path().filename().string().starts_with("intel-rapl:")) zones.push_back(entry.path());  // those of AMD are called so, too
  std::sort(zones.begin(), zones.end());
  return zones;
}

}  // namespace

EnergyMeter::EnergyMeter(const Nvml& nvml, const std::filesystem::path& powercap) : nvml_(nvml) {
  for (const std::filesystem::path& zone : zones_in(powercap)) add_counter(zone);
  if (counters_.empty() && cpu_missing_.empty())
    cpu_missing_ = fmt::format(
        "{} holds no RAPL counters (a virtual machine or a container seldom has them): measure on the machine itself, with the kernel "
        "module "
        "intel_rapl_msr loaded",
        powercap.string());
  if (const std::optional<double> joules = nvml.energy_joules()) {
    gpu_ = Gpu::counter;
    gpu_start_ = *joules;
  } else if (const std::optional<double> watts = nvml.watts()) {
    gpu_ = Gpu::power;
    last_watts_ = *watts;
  } else {
    gpu_missing_ = nvml.absent_because().empty() ? "this GPU tells NVML neither its energy nor its power" : nvml.absent_because();
  }
}

void EnergyMeter::add_counter(const std::filesystem::path& folder) {
  const std::string name = word_in(folder / "name");
  const bool is_package = name.starts_with("package");
  if (!is_package && name != "dram") return;  // the cores are a part of their package
  Counter counter = {is_package ? Counter::Domain::cpu : Counter::Domain::dram, folder / "energy_uj"};
  const std::optional<double> now = number_in(counter.file);
  if (!now) {
    cpu_missing_ = fmt::format("{} cannot be read by this user: `sudo chmod a+r {}/*/energy_uj` allows it until the next start",
                               counter.file.string(), folder.parent_path().string());
    return;
  }
  counter.range = 1e-6 * number_in(folder / "max_energy_range_uj").value_or(0);
  counter.last = 1e-6 * *now;
  counters_.push_back(std::move(counter));
}

Joules EnergyMeter::read(double seconds) {
  for (Counter& counter : counters_) {
    const double now = 1e-6 * number_in(counter.file).value_or(1e6 * counter.last);
    counter.total += now - counter.last + (now < counter.last ? counter.range : 0);
    counter.last = now;
  }
  Joules joules = {total_of(Counter::Domain::cpu), total_of(Counter::Domain::dram), std::nullopt};
  if (gpu_ != Gpu::absent) joules.gpu = gpu_total(seconds);
  return joules;
}

std::optional<double> EnergyMeter::total_of(Counter::Domain domain) const {
  std::optional<double> total;
  for (const Counter& counter : counters_)
    if (counter.domain == domain) total = total.value_or(0) + counter.total;
  return total;
}

std::optional<double> EnergyMeter::counted_by_gpu() const {
  const std::optional<double> joules = nvml_.energy_joules();
  return joules ? std::optional(*joules - gpu_start_) : std::nullopt;
}

double EnergyMeter::gpu_total(double seconds) {
  if (gpu_ == Gpu::counter) return gpu_total_ = counted_by_gpu().value_or(gpu_total_);
  const double watts = nvml_.watts().value_or(last_watts_);
  if (last_seconds_) gpu_total_ += (watts + last_watts_) / 2 * (seconds - *last_seconds_);
  last_seconds_ = seconds;
  last_watts_ = watts;
  return gpu_total_;
}

std::string EnergyMeter::method() const {
  const auto count = [&](Counter::Domain domain) {
    return std::count_if(counters_.begin(), counters_.end(), [&](const Counter& counter) { return counter.domain == domain; });
  };
  std::vector<std::string> parts;
  if (const auto packages = count(Counter::Domain::cpu); packages > 0)
    parts.push_back(fmt::format("CPU: RAPL counters of {} package{}", packages, packages == 1 ? "" : "s"));
  if (const auto memories = count(Counter::Domain::dram); memories > 0) parts.push_back(fmt::format("DRAM: {} RAPL counters", memories));
  if (gpu_ == Gpu::counter) parts.push_back("GPU: energy counter of NVML");
  if (gpu_ == Gpu::power) parts.push_back("GPU: power of NVML, integrated");
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string EnergyMeter::missing() const {
  std::vector<std::string> parts;
  if (!cpu_missing_.empty()) parts.push_back("CPU: " + cpu_missing_);
  if (cpu_missing_.empty() && !total_of(Counter::Domain::dram)) parts.push_back("DRAM: this processor counts none for its memory");
  if (!gpu_missing_.empty()) parts.push_back("GPU: " + gpu_missing_);
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace fovea::study
