// The public interface, with images that lie in the caller's memory. Includes what an outside program includes, and no more of fovea.
#include "fovea/fovea.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <numeric>

namespace {

using fovea::Classifier;
using fovea::ExitCode;
using fovea::Experiment;
using fovea::ImageView;
using fovea::Outcome;

constexpr int64_t side = 8;

// Images of a bright row, whose place is the class, on a ground that differs from image to image.
class Rows {
 public:
  explicit Rows(int64_t count, int64_t classes = 4) : count_(count), pixels_(static_cast<size_t>(count * side * side)) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t label = i * 7 % classes;
      labels_.push_back(static_cast<int32_t>(label));
      for (int64_t at = 0; at < side * side; ++at) {
        const int64_t ground = (i * 31 + at * 17) % 80;
        pixels_[static_cast<size_t>(i * side * side + at)] = static_cast<uint8_t>(at / side == 2 * label ? 255 - ground : ground);
      }
    }
  }
  ImageView view() const { return {.count = count_, .h = side, .w = side, .c = 1, .pixels = pixels_, .labels = labels_}; }
  std::vector<int32_t>& labels() { return labels_; }

 private:
  int64_t count_;
  std::vector<uint8_t> pixels_;
  std::vector<int32_t> labels_;
};

class Library : public testing::Test {
 protected:
  Library() : folder_(std::filesystem::temp_directory_path() / ("fovea-library-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
    plant("multi.toml", "classes = 4", "linear = \"$classes\"");
    plant("single.toml", "loss = \"binary_cross_entropy\"", "linear = 1");
  }
  ~Library() override { std::filesystem::remove_all(folder_); }

  Experiment experiment(const Rows& train, const Rows& test) const {
    return {.settings = {{"model", path("multi.toml")}, {"epochs", "12"}, {"batch", "20"}, {"learning_rate", "0.1"}, {"backend", "eigen"}},
            .images = fovea::OwnImages{"rows", {"first", "second", "third", "fourth"}, train.view(), test.view()}};
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

 private:
  void plant(const std::string& name, const std::string& head, const std::string& last) const {
    std::ofstream(folder_ / name) << head << "\ninput = [8, 8, 1]\nlayers = [\n  { flatten = true },\n  { " << last << " },\n]\n";
  }

  std::filesystem::path folder_;
};

template <class Call>
std::string error_text(ExitCode code, const Call& call) {
  try {
    call();
  } catch (const fovea::Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

TEST_F(Library, TrainsOnImagesOfTheCaller) {
  const Rows train(400), test(100);
  std::vector<fovea::EpochReport> reports;
  Experiment tried = experiment(train, test);
  tried.settings["valid"] = "0.1";
  tried.on_epoch = [&](const fovea::EpochReport& report) { reports.push_back(report); };
  const Outcome outcome = run_training(tried);
  EXPECT_EQ(outcome.test.accuracy, 1);
  EXPECT_EQ(outcome.test.images, 100);
  EXPECT_EQ(outcome.epochs, 12);
  EXPECT_EQ(outcome.kept_epoch, 12);
  ASSERT_EQ(reports.size(), 12u);
  EXPECT_EQ(reports[0].epoch, 1);
  EXPECT_EQ(reports[0].train.images, 360);
  EXPECT_LT(reports[11].train.loss, reports[0].train.loss);
  ASSERT_TRUE(reports[11].valid);
  EXPECT_EQ(reports[11].valid->images, 40);
}

TEST_F(Library, PredictsWithEveryBackendAndBatch) {
  const Rows train(400), test(101);
  const Classifier classifier = run_training(experiment(train, test)).classifier;
  ImageView unlabelled = test.view();
  unlabelled.labels = {};
  const std::vector<float> whole = classifier.probabilities(unlabelled, {.backend = "reference", .batch = 101});
  ASSERT_EQ(whole.size(), 4u * 101);
  for (size_t row = 0; row < 101; ++row)
    EXPECT_NEAR(std::accumulate(whole.begin() + static_cast<long>(4 * row), whole.begin() + static_cast<long>(4 * row + 4), 0.0), 1, 1e-6);
  for (const std::string& backend : fovea::usable_backends()) {
    const std::vector<float> parts = classifier.probabilities(unlabelled, {.backend = backend, .threads = 2, .batch = 8});
    ASSERT_EQ(parts.size(), whole.size()) << backend;
    for (size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(parts[i], whole[i], 1e-5) << backend << " at " << i;
    EXPECT_EQ(classifier.predict(unlabelled, {.backend = backend}), Rows(101).labels()) << backend;
  }
}

TEST_F(Library, KeptClassifierIsTheSame) {
  const Rows train(400), test(100);
  const Outcome outcome = run_training(experiment(train, test));
  outcome.classifier.save(path("kept.safetensors"));
  const Classifier kept = Classifier::load(path("kept.safetensors"));
  EXPECT_EQ(kept.weights_sha256(), outcome.classifier.weights_sha256());
  EXPECT_EQ(kept.classes(), (std::vector<std::string>{"first", "second", "third", "fourth"}));
  const fovea::Evaluation again = kept.test(test.view(), {.backend = "eigen", .batch = 20});
  EXPECT_EQ(again.accuracy, outcome.test.accuracy);
  EXPECT_EQ(again.loss, outcome.test.loss);
  EXPECT_EQ(run_training(experiment(train, test)).classifier.weights_sha256(), kept.weights_sha256());
}

TEST_F(Library, YesOrNo) {
  const Rows train(400, 2), test(100, 2);
  Experiment tried = experiment(train, test);
  tried.settings["model"] = path("single.toml");
  tried.images->classes = {"no", "yes"};
  const Outcome outcome = run_training(tried);
  EXPECT_EQ(outcome.test.accuracy, 1);
  EXPECT_EQ(outcome.classifier.predict(test.view()), Rows(100, 2).labels());
  EXPECT_EQ(outcome.classifier.probabilities(test.view()).size(), 200u);
}

TEST_F(Library, RefusesImagesThatDoNotFit) {
  const Rows train(40);
  Rows test(10);
  const auto said = [&](auto change) {
    Experiment tried = experiment(train, test);
    change(tried);
    return error_text(ExitCode::data, [&] { run_training(tried); });
  };
  EXPECT_EQ(said([](Experiment& e) { e.images->train.count = 41; }),
            "error[E0300]: 41 images of 8 x 8 x 1 come with 2560 pixels\n"
            "  help: give count * h * w * c pixels, in the order (image, row, column, channel), and one label for each image");
  EXPECT_NE(said([](Experiment& e) { e.images->test.labels = {}; }).find("come with 0 labels"), std::string::npos);
  EXPECT_NE(said([](Experiment& e) { e.images->classes = {"one"}; }).find("has 1 classes"), std::string::npos);
  EXPECT_NE(said([](Experiment& e) { e.images->test = {}; }).find("0 images of 0 x 0 x 0 are not a set"), std::string::npos);
  EXPECT_NE(
      said([](Experiment& e) { e.images->train.h = e.images->train.w = e.images->train.c = int64_t{1} << 31; }).find("can be counted"),
      std::string::npos);
  EXPECT_NE(said([](Experiment& e) { e.images->test.h = 4, e.images->test.w = 16; }).find("8 x 8 x 1, but its test images 4 x 16 x 1"),
            std::string::npos);
  test.labels()[3] = 4;
  EXPECT_NE(said([](Experiment&) {}).find("in 4 classes have the label 4 at image 3"), std::string::npos);
  test.labels()[3] = -2;
  EXPECT_NE(said([](Experiment&) {}).find("have the label -2 at image 3"), std::string::npos);
}

TEST_F(Library, RefusesWhatItCannotDo) {
  const Rows train(40), test(10);
  Experiment tried = experiment(train, test);
  tried.settings["learning_rat"] = "1";
  EXPECT_NE(error_text(ExitCode::usage, [&] { run_training(tried); }).find("learning_rat"), std::string::npos);
  tried = experiment(train, test);
  tried.settings["out"] = "somewhere";
  EXPECT_NE(error_text(ExitCode::usage, [&] { run_training(tried); }).find("Classifier::save"), std::string::npos);
  tried = experiment(train, test);
  tried.recipe = "lenet5_digit";
  EXPECT_NE(error_text(ExitCode::config, [&] { run_training(tried); }).find("did you mean `lenet5_digits`"), std::string::npos);
  const Classifier classifier = run_training(experiment(train, test)).classifier;
  error_text(ExitCode::device, [&] { classifier.test(test.view(), {.backend = "abacus"}); });
  error_text(ExitCode::usage, [&] { classifier.test(test.view(), {.batch = 0}); });
  const std::vector<uint8_t> large(32 * 32);
  error_text(ExitCode::config, [&] { classifier.predict({.count = 1, .h = 32, .w = 32, .c = 1, .pixels = large}); });
  error_text(ExitCode::data, [&] { Classifier::load("nowhere.safetensors"); });
}

}  // namespace
