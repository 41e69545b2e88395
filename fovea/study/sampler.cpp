#include "fovea/study/sampler.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>

namespace fovea::study {
namespace {

constexpr auto period = std::chrono::milliseconds(100);
// Between two moves of a counter that are used: RAPL counts in milliseconds; NVML's moves about ten times a second, and is looked at as
// often, so that one period of it may look like half of one.
constexpr double cpu_moves = 0, gpu_moves = 0.2;  // seconds
constexpr double shortest_sample = 0.1;           // seconds: the kernel counts the use of processors in hundredths

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

std::span<const Moment> inside(std::span<const Moment> moments, const Window& window, double settle) {
  const auto first = std::lower_bound(moments.begin(), moments.end(), window.begin + settle,
                                      [](const Moment& moment, double seconds) { return moment.seconds < seconds; });
  const auto last = std::upper_bound(moments.begin(), moments.end(), window.end,
                                     [](double seconds, const Moment& moment) { return seconds < moment.seconds; });
  return first < last ? std::span(first, last) : std::span<const Moment>();
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

// A counter moves at its own times, perhaps as seldom as it is looked at, so that the difference of two looks is nothing at one time and
// twice too much at the next. It is taken to grow evenly between two looks that saw it move and are `apart` seconds from each other; behind
// the last of them nothing is known.
void even_out(std::vector<Moment>& moments, std::optional<double> Joules::*domain, double apart) {
  const auto joules = [&](size_t i) -> std::optional<double>& { return moments[i].joules.*domain; };
  size_t moved = 0;  // the last that saw it move
  for (size_t i = 1; i < moments.size(); ++i) {
    if (!joules(moved) || !joules(i)) {
      moved = i;
      continue;
    }
    if (*joules(i) == *joules(moved) || *joules(i) == *joules(i - 1) || moments[i].seconds - moments[moved].seconds < apart) continue;
    const double watts = (*joules(i) - *joules(moved)) / (moments[i].seconds - moments[moved].seconds);
    for (size_t j = moved + 1; j < i; ++j) joules(j) = *joules(moved) + watts * (moments[j].seconds - moments[moved].seconds);
    moved = i;
  }
  for (size_t j = moved + 1; j < moments.size(); ++j) joules(j).reset();
}

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
  while (!stopped_) {
    moments_.push_back(moment());
    changed_.wait_for(lock, period, [this] { return stopped_; });
  }
}

Moment Sampler::look() {
  const std::lock_guard lock(mutex_);
  moments_.push_back(moment());
  return moments_.back();
}

std::vector<Moment> Sampler::moments() const {
  const std::lock_guard lock(mutex_);
  return moments_;
}

Moment Sampler::moment() {
  Moment moment;
  moment.seconds = watch_.seconds();
  moment.joules = meter_.read(moment.seconds);
  moment.own_seconds = own_processor_seconds();
  read_use(places_.proc, moment);
  moment.host_bytes = resident_bytes(places_.proc);
  moment.gpu_share = nvml_.busy_share();
  if (const auto memory = nvml_.memory()) moment.device_bytes = memory->used;
  return moment;
}

Power power_in(std::span<const Moment> moments, std::span<const Window> windows, std::optional<double> Joules::*domain, double settle) {
  Power power;
  double joules = 0;
  for (const Window& window : windows) {
    const std::span<const Moment> in = inside(moments, window, settle);
    if (in.size() < 2 || !(in.front().joules.*domain) || !(in.back().joules.*domain)) continue;
    joules += *(in.back().joules.*domain) - *(in.front().joules.*domain);
    power.seconds += in.back().seconds - in.front().seconds;
    power.moments += std::ssize(in);
  }
  if (power.seconds > 0) power.watts = joules / power.seconds;
  return power;
}

std::vector<Sample> samples_in(std::span<const Moment> looks, std::span<const Window> windows, size_t most) {
  std::vector<Moment> moments(looks.begin(), looks.end());
  even_out(moments, &Joules::cpu, cpu_moves);
  even_out(moments, &Joules::gpu, gpu_moves);
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
