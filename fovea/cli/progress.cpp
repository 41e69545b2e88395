#include "fovea/cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "fovea/base/stop_signal.h"

namespace fovea::cli {
namespace {

using train::Epoch;
using train::Progress;
using train::RunInfo;
using train::Scores;

std::string duration(double seconds) {
  const int64_t s = static_cast<int64_t>(seconds + 0.5);
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

// Prints nothing, but stops where a signal asks for it.
class Quiet : public train::Callbacks {
 public:
  bool stop_requested() override { return stop_signal() != 0; }
};

// Lines; on a terminal, between them, a bar that is drawn over and over.
class People final : public Quiet {
 public:
  void on_start(const RunInfo& info) override {
    epochs_ = info.epochs;
    fmt::print("{} ({} parameters) on {}\n", info.model, info.parameters, info.data);
    fmt::print("backend {}, {}, {} thread{}, on {}\n", info.backend, info.precision, info.threads, info.threads == 1 ? "" : "s",
               info.device);
    fmt::print("{} training and {} test images; validation: {}\n", info.train_images, info.test_images, info.validation);
    fmt::print("{} epochs, batch {}, {:.1f} MiB on the device\n", info.epochs, info.batch,
               static_cast<double>(info.predicted_bytes) / (1 << 20));
    std::fflush(stdout);
  }

  void on_progress(const Progress& progress) override {
    if (!on_terminal_) return;
    constexpr int width = 24;
    const int filled = static_cast<int>(width * progress.images / progress.images_per_epoch);
    fmt::print("\repoch {}/{} [{:=<{}}{: <{}}] loss {:.4f}  accuracy {:.2f} %  {:.0f} images/s  data {:.0f} %  ETA {}\x1b[K",
               progress.epoch, epochs_, "", filled, "", width - filled, progress.train.loss, 100 * progress.train.accuracy,
               progress.images_per_second, 100 * progress.data_share, duration(progress.remaining_seconds));
    std::fflush(stdout);
  }

  void on_epoch(const Epoch& epoch) override {
    std::string line =
        fmt::format("epoch {}/{}  loss {:.4f}  accuracy {:.2f} %", epoch.epoch, epochs_, epoch.train.loss, 100 * epoch.train.accuracy);
    if (epoch.valid) line += fmt::format("  valid loss {:.4f}  valid accuracy {:.2f} %", epoch.valid->loss, 100 * epoch.valid->accuracy);
    line += fmt::format("  {:.0f} images/s  {:.2f} s  data {:.0f} %", epoch.images_per_second, epoch.seconds, 100 * epoch.data_share);
    print_line(stdout, line);
  }

  void on_note(const train::Note& note) override {
    if (note.kind == train::Note::Kind::resumed) print_line(stdout, note.text);
    if (note.kind == train::Note::Kind::warning) print_line(stderr, "warning: " + note.text);
  }

 private:
  void print_line(FILE* file, const std::string& line) const {
    fmt::print(file, "{}{}{}\n", on_terminal_ ? "\r" : "", line, on_terminal_ ? "\x1b[K" : "");
    std::fflush(file);
  }

  bool on_terminal_ = isatty(STDOUT_FILENO) != 0;
  int64_t epochs_ = 0;
};

class Json final : public Quiet {
 public:
  void on_start(const RunInfo& info) override {
    print({{"event", "start"},
           {"model", info.model},
           {"data", info.data},
           {"backend", info.backend},
           {"precision", info.precision},
           {"threads", info.threads},
           {"device", info.device},
           {"validation", info.validation},
           {"parameters", info.parameters},
           {"train_images", info.train_images},
           {"test_images", info.test_images},
           {"epochs", info.epochs},
           {"batch", info.batch},
           {"predicted_memory_bytes", info.predicted_bytes}});
  }

  void on_epoch(const Epoch& epoch) override {
    Object line = {{"event", "epoch"},
                   {"epoch", epoch.epoch},
                   {"learning_rate", epoch.learning_rate},
                   {"train_loss", epoch.train.loss},
                   {"train_accuracy", epoch.train.accuracy},
                   {"seconds", epoch.seconds},
                   {"images_per_second", epoch.images_per_second},
                   {"data_share", epoch.data_share}};
    if (epoch.valid) {
      line["valid_loss"] = epoch.valid->loss;
      line["valid_accuracy"] = epoch.valid->accuracy;
    }
    print(line);
  }

  void on_note(const train::Note& note) override {
    if (note.kind == train::Note::Kind::saved) return;
    print({{"event", note.kind == train::Note::Kind::resumed ? "resumed" : "warning"}, {"text", note.text}});
  }

 private:
  using Object = nlohmann::ordered_json;
  static void print(const Object& object) {
    fmt::print("{}\n", object.dump(-1, ' ', false, Object::error_handler_t::replace));
    std::fflush(stdout);
  }
};

}  // namespace

std::unique_ptr<train::Callbacks> make_progress(Output output) {
  if (output == Output::people) return std::make_unique<People>();
  if (output == Output::json) return std::make_unique<Json>();
  return std::make_unique<Quiet>();
}

}  // namespace fovea::cli
