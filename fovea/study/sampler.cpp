#include "fovea/study/sampler.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>

namespace fovea::study {
namespace {

constexpr auto period = std::chrono::milliseconds(100);
constexpr auto gpu_period = std::chrono::milliseconds(10);  // its counter moves about ten times a second
constexpr double shortest_sample = 0.1;                     // seconds: the kernel counts the use of processors in hundredths

double own_processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// "cpu  user nice system idle iowait irq softirq steal ...", in ticks.
void read_use(const std::filesystem::path& proc, Moment& moment) {
  std::ifstream stream(proc / "stat");
  std::string word;
  stream >> word;
  double all = 0, idle = 0, ticks = 0;
  for (int column = 0; column < 8 && stream >> ticks; ++column) {
    all += ticks;
    if (column == 3 || column == 4) idle += ticks;
  }
  const double per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  moment.busy_seconds = (all - idle) / per_second;
  moment.offered_seconds = all / per_second;
}

double resident_bytes(const std::filesystem::path& proc) {
  std::ifstream stream(proc / "self" / "statm");
  double size = 0, resident = 0;
  stream >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGE_SIZE));
}

// Moments or readings.
template <class Dated>
std::span<const Dated> inside(std::span<const Dated> all, const Window& window, double settle) {
  const auto first = std::lower_bound(all.begin(), all.end(), window.begin + settle,
                                      [](const Dated& one, double seconds) { return one.seconds < seconds; });
  const auto last =
      std::upper_bound(all.begin(), all.end(), window.end, [](double seconds, const Dated& one) { return seconds < one.seconds; });
  return first < last ? std::span(first, last) : std::span<const Dated>();
}

// What several pairs of moments come to.
struct Sum {
  double seconds = 0, own = 0, busy = 0, offered = 0, host = 0, gpu = 0, device = 0, cpu_joules = 0, gpu_joules = 0;
  bool has_gpu = true, has_device = true, has_cpu_joules = true, has_gpu_joules = true;

  void add(const Moment& a, const Moment& b) {
    const double dt = b.seconds - a.seconds;
    seconds += dt;
    own += b.own_seconds - a.own_seconds;
    busy += b.busy_seconds - a.busy_seconds;
    offered += b.offered_seconds - a.offered_seconds;
    host = std::max(host, b.host_bytes);
    gpu += dt * b.gpu_share.value_or(0);
    device = std::max(device, b.device_bytes.value_or(0));
    has_gpu = has_gpu && b.gpu_share.has_value();
    has_device = has_device && b.device_bytes.has_value();
    has_cpu_joules = has_cpu_joules && a.joules.cpu && b.joules.cpu;
    has_gpu_joules = has_gpu_joules && a.joules.gpu && b.joules.gpu;
    if (has_cpu_joules) cpu_joules += *b.joules.cpu - *a.joules.cpu;
    if (has_gpu_joules) gpu_joules += *b.joules.gpu - *a.joules.gpu;
  }
  Sample sample(double t) const {
    Sample sample;
    sample.t = t;
    const double processors = static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN));
    sample.own_share = std::min(1.0, own / seconds / processors);
    sample.machine_share = offered > 0 ? busy / offered : 0;
    sample.host_bytes = host;
    if (has_gpu) sample.gpu_share = gpu / seconds;
    if (has_device) sample.device_bytes = device;
    if (has_cpu_joules) sample.cpu_watts = cpu_joules / seconds;
    if (has_gpu_joules) sample.gpu_watts = gpu_joules / seconds;
    return sample;
  }
};

}  // namespace

Sampler::Sampler(const Nvml& nvml, Places places)
    : nvml_(nvml), places_(std::move(places)), meter_(nvml, places_.powercap), thread_([this] { run(); }) {}

Sampler::~Sampler() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Sampler::run() {
  std::unique_lock lock(mutex_);
  const auto step = meter_.counts_gpu() ? gpu_period : period;
  while (!stopped_) {
    moments_.push_back(moment());
    for (auto waited = 0 * step; waited < period && !stopped_; waited += step) {
      changed_.wait_for(lock, step, [this] { return stopped_; });
      if (!meter_.counts_gpu()) continue;
      lock.unlock();  // who looks at the ends of a turn need not wait for NVML
      const double seconds = watch_.seconds();
      const std::optional<double> joules = meter_.counted_by_gpu();
      lock.lock();
      if (joules) note_gpu({seconds, *joules});
    }
  }
}

void Sampler::note_gpu(const Reading& reading) {
  if (gpu_moves_.empty() || gpu_moves_.back().joules < reading.joules) gpu_moves_.push_back(reading);
}

Moment Sampler::look() {
  const std::lock_guard lock(mutex_);
  moments_.push_back(moment());
  return moments_.back();
}

std::vector<Moment> Sampler::moments() const {
  const std::lock_guard lock(mutex_);
  std::vector<Moment> moments = moments_;
  for (std::optional<double> Joules::*domain : {&Joules::cpu, &Joules::dram}) even_out(moments, domain, moves_of(moments_, domain));
  even_out(moments, &Joules::gpu, meter_.counts_gpu() ? gpu_moves_ : moves_of(moments_, &Joules::gpu));
  return moments;
}

std::vector<Reading> Sampler::readings(std::optional<double> Joules::*domain) const {
  const std::lock_guard lock(mutex_);
  std::vector<Reading> readings = domain == &Joules::gpu && meter_.counts_gpu() ? gpu_moves_ : moves_of(moments_, domain);
  if (!readings.empty()) readings.erase(readings.begin());
  return readings;
}

Moment Sampler::moment() {
  Moment moment;
  moment.seconds = watch_.seconds();
  moment.joules = meter_.read(moment.seconds);
  if (meter_.counts_gpu()) note_gpu({moment.seconds, *moment.joules.gpu});
  moment.own_seconds = own_processor_seconds();
  read_use(places_.proc, moment);
  moment.host_bytes = resident_bytes(places_.proc);
  moment.gpu_share = nvml_.busy_share();
  if (const auto memory = nvml_.memory()) moment.device_bytes = memory->used;
  return moment;
}

std::vector<Reading> moves_of(std::span<const Moment> moments, std::optional<double> Joules::*domain) {
  std::vector<Reading> moves;
  for (const Moment& moment : moments)
    if (const std::optional<double> joules = moment.joules.*domain; joules && (moves.empty() || moves.back().joules != *joules))
      moves.push_back({moment.seconds, *joules});
  return moves;
}

void even_out(std::vector<Moment>& moments, std::optional<double> Joules::*domain, std::span<const Reading> moves) {
  size_t behind = 0;  // the first move that is not in front of the moment
  for (Moment& moment : moments) {
    while (behind < moves.size() && moves[behind].seconds < moment.seconds) ++behind;
    std::optional<double>& joules = moment.joules.*domain;
    joules.reset();
    if (behind == moves.size()) continue;
    const Reading& next = moves[behind];
    if (next.seconds == moment.seconds) {
      joules = next.joules;
    } else if (behind > 0) {
      const Reading& last = moves[behind - 1];
      joules = last.joules + (next.joules - last.joules) * (moment.seconds - last.seconds) / (next.seconds - last.seconds);
    }
  }
}

Power power_in(std::span<const Reading> readings, std::span<const Window> windows, double settle) {
  Power power;
  double joules = 0;
  for (const Window& window : windows) {
    const std::span<const Reading> in = inside(readings, window, settle);
    if (in.size() < 2) continue;
    joules += in.back().joules - in.front().joules;
    power.seconds += in.back().seconds - in.front().seconds;
    power.readings += std::ssize(in);
  }
  if (power.seconds > 0) power.watts = joules / power.seconds;
  return power;
}

std::vector<Sample> samples_in(std::span<const Moment> moments, std::span<const Window> windows, size_t most) {
  double total = 0, before = 0;
  for (const Window& window : windows) total += window.end - window.begin;
  const double wanted = std::max(shortest_sample, total / static_cast<double>(most));
  std::vector<Sample> samples;
  Sum sum;
  for (const Window& window : windows) {
    const std::span<const Moment> in = inside(moments, window, 0);
    for (size_t i = 1; i < in.size(); ++i) {
      sum.add(in[i - 1], in[i]);
      if (sum.seconds < wanted) continue;
      samples.push_back(sum.sample(before + in[i].seconds - window.begin));
      sum = {};
    }
    before += window.end - window.begin;
  }
  if (samples.empty() && sum.seconds > 0) samples.push_back(sum.sample(before));
  return samples;
}

}  // namespace fovea::study
