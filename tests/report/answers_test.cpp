// What is said of a comparison in words: that it follows from the figures, and admits what they do not tell.
#include "fovea/report/answers.h"

#include "tests/report/comparison_file.h"

namespace fovea::report {
namespace {

using Json = nlohmann::ordered_json;

std::string answer(const Json& json, std::string_view question) {
  for (const Answer& answer : answers(comparison_of(json)))
    if (answer.question == question) return answer.text;
  ADD_FAILURE() << "no answer to " << question;
  return {};
}

void expect_in(const std::string& text, std::string_view part) { EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text; }

TEST(Answers, NameTheFastestAndByHowMuch) {
  const Json json = sample_comparison();
  EXPECT_EQ(headline(comparison_of(json)),
            "openmp, 2 threads, batch 256 is the fastest: 17,300 images/s, 4.12 times as fast as eigen, 1 thread, batch 64 "
            "(95 % interval 4.06 to 4.18), with no difference in test accuracy to be told.");
  expect_in(answer(json, "Which is the fastest?"), "17,300 images/s (95 % interval 17,214 to 17,386)");
  expect_in(answer(json, "By how much?"), "4.12 times as fast as eigen, 1 thread, batch 64 (95 % interval 4.06 to 4.18)");
  expect_in(answer(json, "By how much?"), "1.16 times as fast as the second, onednn, 2 threads, batch 64");
  expect_in(answer(json, "How sure is that?"), "does not hold 1, so the difference is significant");
  expect_in(answer(json, "How sure is that?"),
            "Against the second, onednn, 2 threads, batch 64: the 95 % interval of the ratio does not hold 1");
}

TEST(Answers, SayWhoseKernelsARivalRan) {
  Json json = sample_comparison();
  json["rows"][4]["providers"] = {{"openmp", 28}};
  expect_in(answer(json, "By how much?"), "the second, onednn, 2 threads, batch 64 (its steps are openmp's)");
  json["rows"][4]["providers"] = {{"openmp", 27}, {"onednn", 1}};
  EXPECT_EQ(answer(json, "By how much?").find("its steps"), std::string::npos);
}

TEST(Answers, AdmitThatTheFirstTwoAreNotToldApart) {
  Json json = sample_comparison();
  json["rows"].erase(json["rows"].begin() + 3);  // the fastest; the next two overlap
  expect_in(headline(comparison_of(json)), "are the fastest, and not told apart: 14,850 and 14,800 images/s");
  expect_in(answer(json, "How sure is that?"), "Against the second, openmp, 2 threads, batch 64: no significant difference");
}

TEST(Answers, AdmitThatARatioHoldsOne) {
  Json json = sample_comparison();
  json["rows"][3]["speedup"]["low"] = 0.99;
  expect_in(answer(json, "How sure is that?"), "no significant difference");
}

TEST(Answers, HoldTheFirstRowAgainstTheSecondWhereItIsTheFastest) {
  Json json = sample_comparison();
  json["rows"].erase(json["rows"].begin() + 2, json["rows"].end());
  json["rows"][1]["speedup"].update({{"ratio", 0.8}, {"low", 0.75}, {"high", 0.9}, {"verdict", "slower"}});
  json["rows"][1]["images_per_second"]["median"] = 3000;
  EXPECT_EQ(headline(comparison_of(json)),
            "eigen is the fastest: 4,200 images/s, 1.25 times as fast as the second, openmp (95 % interval 1.11 to 1.33), at an equal test "
            "accuracy.");
  json["rows"][1]["speedup"]["high"] = 1.1;
  expect_in(headline(comparison_of(json)), "eigen and openmp are the fastest, and not told apart");
}

// One rule for the fastest of all and of another device: images/s. Where pairs contradict it, that is said.
TEST(Answers, RankByImagesPerSecond) {
  Json json = sample_comparison();
  json["rows"][4]["images_per_second"]["median"] = 17500;
  expect_in(answer(json, "Which is the fastest?"), "onednn, 2 threads, batch 64: 17,500 images/s");
  json["rows"][3]["against_fastest"] = {{"against", json["rows"][4]["id"]}, {"ratio", 1.1}, {"low", 1.05}, {"high", 1.15}};
  expect_in(headline(comparison_of(json)), "are the fastest, and not told apart: 17,500 and 17,300 images/s");
  expect_in(answer(json, "How sure is that?"), "side by side it was the slower one, although its median is the higher");
}

TEST(Answers, HoldTheFastestAgainstOthersByPairsWhereThereAreSome) {
  Json json = sample_comparison();
  expect_in(answer(json, "By how much?"), "as wide as the intervals of both rows allow");
  for (Json& row : json["rows"])
    row["against_fastest"] = {
        {"against", json["rows"][3]["id"]}, {"ratio", 0.8}, {"low", 0.5}, {"high", 0.9}, {"verdict", "slower"}, {"pairs", 24}};
  const std::string text = answer(json, "By how much?");
  expect_in(text, "1.25 times as fast as the second, onednn, 2 threads, batch 64 (95 % interval 1.11 to 2.00)");
  expect_in(text, "4.12 times as fast as eigen, 1 thread, batch 64 (95 % interval 4.06 to 4.18)");
  EXPECT_EQ(text.find("as wide as"), std::string::npos) << text;
}

TEST(Answers, NameTheRowsThatDoNotDifferFromTheFirst) {
  Json json = sample_comparison();
  expect_in(answer(json, "How sure is that?"), "All other rows differ significantly from eigen, 1 thread, batch 64.");
  json["rows"][1]["speedup"].update({{"ratio", 1.01}, {"low", 0.9}});
  json["rows"][2]["speedup"]["low"] = nullptr;
  const std::string text = answer(json, "How sure is that?");
  expect_in(text, "No significant difference from eigen, 1 thread, batch 64: openmp, 1 thread, batch 64.");
  expect_in(text, "Not known against eigen, 1 thread, batch 64: openmp, 2 threads, batch 64.");
}

TEST(Answers, AdmitThatThereIsNoInterval) {
  Json json = sample_comparison();
  for (Json& row : json["rows"])
    if (row["status"] == "ran") row["speedup"]["low"] = row["speedup"]["high"] = nullptr;
  expect_in(answer(json, "How sure is that?"), "not known, for there is no interval");
  json["rows"][3]["images_per_second"]["median"] = 99999;
  const std::string lead = answer(json, "By how much?");
  EXPECT_EQ(lead.find("interval"), std::string::npos);
  expect_in(lead, "4.12 times as fast as eigen, 1 thread, batch 64");
  expect_in(lead, "1.16 times as fast as the second, onednn, 2 threads, batch 64");
}

TEST(Answers, JudgeAccuracyByWhatTheImagesCanTell) {
  Json json = sample_comparison();
  expect_in(answer(json, "Is the accuracy equal?"), "Yes, as far as can be told: test accuracy is 95.11 %");
  for (Json& row : json["rows"])
    if (row["status"] == "ran") row["test_accuracy"]["mean"] = 0.95;
  EXPECT_EQ(answer(json, "Is the accuracy equal?"), "Yes: the test accuracy of all 5 rows is 95.00 %.");
  json["rows"][2]["test_accuracy"]["mean"] = 0.5;
  expect_in(answer(json, "Is the accuracy equal?"), "No: test accuracy is 50.00 % (openmp, 2 threads, batch 64) to 95.00 %");
  EXPECT_TRUE(headline(comparison_of(json)).ends_with(", but the test accuracies differ.")) << headline(comparison_of(json));
  expect_in(answer(json, "Is the accuracy equal?"),
            "(3.45 points: sqrt(p(1-p)/N) for N = 1,000 test images, of both as the root of the sum of squares)");
  for (Json& row : json["rows"]) row["test_accuracy"] = nullptr;
  expect_in(answer(json, "Is the accuracy equal?"), "validation accuracy");
}

TEST(Answers, DoNotTakeOneTrainingEachForADifference) {
  Json json = sample_comparison();
  for (Json& row : json["rows"])
    if (row["status"] == "ran") row["test_accuracy"] = {{"mean", 0.95}, {"std", nullptr}, {"count", 1}};
  json["rows"][2]["test_accuracy"]["mean"] = 0.5;
  const std::string text = answer(json, "Is the accuracy equal?");
  EXPECT_TRUE(text.starts_with("Not to be told from one training each: test accuracy is 50.00 %")) << text;
  expect_in(text, "more than two standard errors (3.45 points: sqrt(p(1-p)/N) for N = 1,000 test images");
  expect_in(text, "a single seed cannot tell it from chance of the training");
  expect_in(headline(comparison_of(json)), ", with test accuracies 45.00 points apart after one training each.");
}

TEST(Answers, SayWhatTheEnergyIsOfAndWhoHasNone) {
  Json json = sample_comparison();
  for (size_t i = 0; i < 3; ++i)
    json["rows"][i]["energy"] = {{"gross_joules_per_image", nullptr}, {"reason", "CPU: there are no counters (in a container): a remedy"}};
  for (size_t i = 3; i < 5; ++i) json["rows"][i]["energy"].update({{"cpu_joules", nullptr}, {"gpu_joules", 5}, {"method", "NVML"}});
  const std::string text = answer(json, "How much energy?");
  expect_in(text, "The least of 2 rows measured: openmp, 2 threads, batch 256, 1.60 mJ per image net of idle power, 2.66 mJ gross.");
  expect_in(text, "It is the energy of the GPU alone: that of the processor was not measured.");
  expect_in(text, "3 rows have none: CPU: there are no counters.");
}

TEST(Answers, TellMemoryEnergyAndTheCommand) {
  const Json json = sample_comparison();
  expect_in(answer(json, "How much memory?"), "191 MiB of host memory");
  expect_in(answer(json, "How much energy?"),
            "1.60 mJ per image net of idle power, 2.66 mJ gross. It is the energy of the processor. By RAPL, package counter.");
  expect_in(answer(json, "How is it repeated?"), "fovea compare --data digits");
  expect_in(answer(json, "How is it repeated?"), "--out 'runs/my comparison'");
}

TEST(Answers, SayWithWhatAndWhereToRepeat) {
  Json json = sample_comparison();
  EXPECT_EQ(answers(comparison_of(json)).back().remark, "Measured with fovea 0.1.0, commit 0123abc, Example CPU.");
  json["command"] = {"fovea", "compare", "4_lenet5", "--out", "runs/x"};
  json["environment"]["gpu"] = {{"name", "Example GPU"}};
  EXPECT_EQ(
      answers(comparison_of(json)).back().remark,
      "Measured with fovea 0.1.0, commit 0123abc, Example CPU, Example GPU. What the flags do not set is set by the recipe 4_lenet5.");
}

TEST(Answers, SayOfWhichMemoryTheForetoldIs) {
  Json json = sample_comparison();
  expect_in(answer(json, "How much memory?"), "97.7 MiB of host memory foretold");
  json["rows"][3]["threads"] = nullptr;
  expect_in(answer(json, "How much memory?"), "97.7 MiB of device memory foretold");
}

TEST(Answers, SayWhyNothingIsKnown) {
  const Json json = without_figures(sample_comparison());
  expect_in(headline(comparison_of(json)), "not measured: eigen: the reason");
  for (const Answer& answer : answers(comparison_of(json)))
    if (answer.source != "command") expect_in(answer.text, "Not measured");
}

TEST(Answers, ReasonsOfEnergyComeFromTheRows) {
  Json json = sample_comparison();
  for (Json& row : json["rows"]) row["energy"] = {{"gross_joules_per_image", nullptr}, {"reason", "RAPL cannot be read"}};
  EXPECT_EQ(answer(json, "How much energy?"), "Not measured: RAPL cannot be read.");
}

TEST(Answers, WriteACommandAsAShellTakesIt) {
  EXPECT_EQ(command_line({"fovea", "", "a b", "it's", "$HOME", "x=1,2"}), "fovea '' 'a b' 'it'\\''s' '$HOME' x=1,2");
}

TEST(Answers, TheFastestIsAlsoHeldAgainstTheFastestOfAnotherDevice) {
  nlohmann::ordered_json json = sample_comparison();
  const auto by_how_much = [](const nlohmann::ordered_json& one) { return answers(comparison_of(one))[1].text; };
  EXPECT_EQ(by_how_much(json).find("another device"), std::string::npos);
  for (const size_t i : {3, 4}) json["rows"][i]["device"] = "Example GPU";  // the two fastest
  json["rows"][1]["images_per_second"]["median"] = 14801;                   // by its speed-up it is behind
  const std::string text = by_how_much(json);
  EXPECT_NE(text.find("the fastest of another device, openmp, 1 thread, batch 64 ("), std::string::npos) << text;
}

}  // namespace
}  // namespace fovea::report
