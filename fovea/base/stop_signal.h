// Signals that ask a program to stop: the first is noted, a second one ends the program at once, as it would without this.
#pragma once

namespace fovea {

void take_stop_signals();  // from now on SIGINT, SIGTERM and SIGUSR1
int stop_signal();         // the first that came; 0: none yet

}  // namespace fovea
