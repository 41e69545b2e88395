// All that a run needs to go on to the same bits, and its two files: last.ckpt and, one generation older, previous.ckpt.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "fovea/backend/tuning.h"
#include "fovea/train/run_identity.h"
#include "fovea/train/run_state.h"

namespace fovea::train {

inline constexpr const char* last_checkpoint = "last.ckpt";
inline constexpr const char* previous_checkpoint = "previous.ckpt";

struct Checkpoint {
  RunIdentity identity;
  RunState state;
  std::vector<StateTensor> tensors;   // of Session::read_state
  std::optional<Tuning> tuning = {};  // where something was measured
};

size_t write_checkpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint);  // returns its bytes
size_t bytes_of(const Checkpoint& checkpoint);                                               // about what the file will have

// Throws Error (data) on anything that is not a whole checkpoint; allocates no more than a few times the bytes. `name` is only for errors.
Checkpoint parse_checkpoint(std::string bytes, const std::string& name);

struct LoadedCheckpoint {
  Checkpoint checkpoint;
  std::filesystem::path file;
  std::string warning;  // why it is not the newest; empty if it is
};
// The newest whole checkpoint of a folder; nothing if it has none. Throws Error (data) if all that are there are damaged.
std::optional<LoadedCheckpoint> load_checkpoint(const std::filesystem::path& folder);

}  // namespace fovea::train
