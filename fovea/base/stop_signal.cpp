#include "fovea/base/stop_signal.h"

#include <signal.h>
#include <initializer_list>

#include <atomic>

namespace fovea {
namespace {

std::atomic<int> first_signal = 0;
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void note_stop_signal(int signal) {
  int none = 0;
  if (first_signal.compare_exchange_strong(none, signal)) return;
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

void take_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = note_stop_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) ::sigaction(signal, &action, nullptr);
}

int stop_signal() { return first_signal; }

}  // namespace fovea
