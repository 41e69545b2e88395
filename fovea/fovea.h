// The library from outside: trains a network, tests it, applies it and keeps it. Needs no other include.
//
// Every call throws Error (fovea/base/error.h) with a message, a remedy and the exit code that the program would end with; nothing is
// printed, and nothing is left half-written. Calls on different objects may run in different threads; a Classifier may be read by several.
// The same call on the same machine gives the same bits, for any number of threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fovea/base/error.h"

namespace fovea {

std::string version();                       // "0.1.0"
std::vector<std::string> usable_backends();  // of this machine, the fastest last; Execution and the key `backend` take these names

// Images of one size, as the caller holds them; they are read during the call that takes them, not later.
struct ImageView {
  int64_t count = 0, h = 0, w = 0, c = 0;  // images, height, width, channels (1: grey, 3: red, green, blue)
  std::span<const uint8_t> pixels;         // (count, h, w, c), 0 to 255
  std::span<const int32_t> labels = {};    // (count), 0 to classes - 1, or -1: the image counts nowhere; none for Classifier::predict
};

// A data set of the caller's own. Training copies it.
struct OwnImages {
  std::string name;  // as messages show it
  std::vector<std::string> classes;
  ImageView train, test;  // of the same h, w and c
};

struct Evaluation {
  double loss = 0;      // mean over the images
  double accuracy = 0;  // share of them, 0 to 1
  int64_t images = 0;   // that counted
};

struct EpochReport {
  int64_t epoch = 0;  // from 1
  double learning_rate = 0;
  Evaluation train;                 // while the weights changed
  std::optional<Evaluation> valid;  // after the epoch, where the key `valid` asks for it
  double images_per_second = 0;
};

struct Experiment {
  std::string recipe = {};                           // a file, or the name of a shipped recipe; may be empty
  std::map<std::string, std::string> settings = {};  // keys of a recipe as text, {"epochs", "3"}; they win over the recipe
  std::optional<OwnImages> images = {};              // instead of what the key `data` names
  std::function<void(const EpochReport&)> on_epoch = {};
};

struct Execution {
  std::string backend = {};  // empty: the fastest that this machine has
  int threads = 0;           // 0: one for each core that the process may use
  int64_t batch = 256;       // images at once; larger is faster and takes more memory
};

// A trained network with the preprocessing of its images and the names of its classes.
class Classifier {
 public:
  // The file that `save` or `fovea train` wrote, or the folder of a run. Throws Error (data).
  static Classifier load(const std::filesystem::path& path);
  void save(const std::filesystem::path& file) const;  // safetensors; replaces the file atomically

  std::vector<std::string> classes() const;  // by label
  std::string weights_sha256() const;

  // Each call plans the network anew: one call with many images is faster than many calls.
  Evaluation test(const ImageView& images, const Execution& where = {}) const;
  std::vector<float> probabilities(const ImageView& images, const Execution& where = {}) const;  // (count, classes)
  std::vector<int32_t> predict(const ImageView& images, const Execution& where = {}) const;      // (count), the most probable class

  struct Content;
  explicit Classifier(std::shared_ptr<const Content> content);  // for the library itself

 private:
  std::shared_ptr<const Content> content_;
};

struct Outcome {
  Classifier classifier;
  Evaluation test;         // on the test images
  int64_t epochs = 0;      // that were trained
  int64_t kept_epoch = 0;  // whose weights these are, from 1
  double seconds = 0;      // of training, evaluation not counted
  double images_per_second = 0;
};

// Trains as `fovea train` does. Writes nothing: Classifier::save keeps what came out. Throws Error: usage (a setting that is none), config
// (network, recipe), data, device, memory, numeric (NaN or infinity).
Outcome run_training(const Experiment& experiment);

}  // namespace fovea
