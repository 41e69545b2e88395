// Trains LeNet-5 through the library, keeps the network, and asks the kept file again. The data set may be named: train_lenet5 mnist:DIR
#include <fovea/fovea.h>

#include <cstdint>
#include <cstdio>

int main(int count, char** arguments) try {
  const fovea::Outcome outcome = fovea::run_training({
      .settings = {{"model", "lenet5"},
                   {"data", count > 1 ? arguments[1] : "digits"},
                   {"epochs", "1"},
                   {"optimizer", "adam"},
                   {"learning_rate", "0.002"}},
      .on_epoch =
          [](const fovea::EpochReport& epoch) {
            std::printf("epoch %lld: training accuracy %.2f %%, %.0f images/s\n", static_cast<long long>(epoch.epoch),
                        100 * epoch.train.accuracy, epoch.images_per_second);
          },
  });
  outcome.classifier.save("lenet5.safetensors");
  std::printf("test accuracy %.2f %%\n", 100 * outcome.test.accuracy);

  const std::vector<uint8_t> black(28 * 28);
  const fovea::Classifier kept = fovea::Classifier::load("lenet5.safetensors");
  const int32_t label = kept.predict({.count = 1, .h = 28, .w = 28, .c = 1, .pixels = black}).front();
  std::printf("a black image looks like %s\n", kept.classes()[static_cast<size_t>(label)].c_str());
} catch (const fovea::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return static_cast<int>(error.code());
}
