// Typed values, and the words and the place of every complaint.
#include "fovea/model/text.h"

#include <gtest/gtest.h>

#include "fovea/model/nearest.h"

namespace fovea::model {
namespace {

const std::string text = R"(epochs = 5
rate = 0.5
nesterov = true
name = "run"   # a comment
shape = [3, 4]
scales = [1, 0.5]
words = ["a", "b"]
whole = 3.0
endless = inf

[data]
source = "mnist:data"

[[steps]]
at = 1
[[steps]]
at = 2
)";

TextTable table() { return TextTable::parse(text, "r.toml"); }

template <class Action>
std::string complaint(Action action) {
  try {
    action();
  } catch (const Error& problem) {
    EXPECT_EQ(problem.code(), ExitCode::config);
    return problem.what();
  }
  return "no error";
}

TEST(Text, ReadsEachType) {
  const TextTable t = table();
  EXPECT_EQ(t.integer("epochs"), 5);
  EXPECT_EQ(t.number("rate"), 0.5);
  EXPECT_EQ(t.number("epochs"), 5.0);
  EXPECT_TRUE(t.boolean("nesterov"));
  EXPECT_EQ(t.string("name"), "run");
  EXPECT_EQ(t.integers("shape"), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(t.integers("epochs"), (std::vector<int64_t>{5}));
  EXPECT_EQ(t.numbers("scales"), (std::vector<double>{1, 0.5}));
  EXPECT_EQ(t.strings("words"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(t.table("data").string("source"), "mnist:data");
  ASSERT_EQ(t.tables("steps").size(), 2u);
  EXPECT_EQ(t.tables("steps")[1].integer("at"), 2);
}

TEST(Text, FallsBackToDefaults) {
  const TextTable t = table();
  EXPECT_EQ(t.integer_or("none", 7), 7);
  EXPECT_EQ(t.integer_or("epochs", 7), 5);
  EXPECT_EQ(t.number_or("none", 0.25), 0.25);
  EXPECT_EQ(t.boolean_or("none", true), true);
  EXPECT_EQ(t.string_or("none", "x"), "x");
  const std::string options[] = {"run", "walk"};
  EXPECT_EQ(t.choice("name", options), "run");
  EXPECT_EQ(t.choice_or("none", "walk", options), "walk");
  EXPECT_TRUE(t.integers("none").empty());
  EXPECT_TRUE(t.tables("none").empty());
  EXPECT_EQ(t.table("none").integer_or("deeper", 4), 4);
}

TEST(Text, KnowsPlacesAndOrder) {
  const TextTable t = table();
  EXPECT_EQ(t.line(), 1);
  EXPECT_EQ(t.line_of("name"), 4);
  EXPECT_EQ(t.line_of("none"), 1);
  EXPECT_EQ(t.table("data").line_of("source"), 12);
  EXPECT_EQ(t.tables("steps")[1].line(), 16);
  EXPECT_EQ(t.keys().front(), "epochs");
  EXPECT_EQ(t.keys().back(), "steps");
}

TEST(Text, NamesWrongTypes) {
  const TextTable t = table();
  EXPECT_EQ(complaint([&] { t.integer("rate"); }),
            "error[E0204]: `rate` must be a whole number, not 0.5\n  --> r.toml:2\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint([&] { t.integer("whole"); }),
            "error[E0204]: `whole` must be a whole number, not 3.0\n  --> r.toml:8\n  help: give a value of that kind and range");
  EXPECT_EQ(
      complaint([&] { t.integer("name"); }),
      "error[E0204]: `name` must be a whole number, not the string \"run\"\n  --> r.toml:4\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint([&] { t.number("nesterov"); }),
            "error[E0204]: `nesterov` must be a number, not true\n  --> r.toml:3\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint([&] { t.boolean("epochs"); }),
            "error[E0204]: `epochs` must be true or false, not 5\n  --> r.toml:1\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint([&] { t.string("shape"); }),
            "error[E0204]: `shape` must be a string, not an array\n  --> r.toml:5\n  help: give a value of that kind and range");
  EXPECT_EQ(
      complaint([&] { t.integers("words"); }),
      "error[E0204]: `words` must be a whole number, not the string \"a\"\n  --> r.toml:7\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint([&] { t.table("epochs"); }),
            "error[E0204]: `epochs` must be a table, not 5\n  --> r.toml:1\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint([&] { t.tables("data"); }),
            "error[E0204]: `data` must be an array of tables, not a table\n  --> r.toml:11\n  help: give a value of that kind and range");
  EXPECT_EQ(
      complaint([&] { t.tables("shape"); }),
      "error[E0204]: `shape` must be an array of tables, but has 3 in it\n  --> r.toml:5\n  help: give a value of that kind and range");
}

TEST(Text, NamesValuesOutOfRange) {
  const TextTable t = table();
  EXPECT_EQ(complaint([&] {
              t.integer("epochs", {6, 9});
            }),
            "error[E0204]: `epochs` is 5, but must be at least 6\n  --> r.toml:1\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint([&] {
              t.integer("epochs", {0, 4});
            }),
            "error[E0204]: `epochs` is 5, but must be at most 4\n  --> r.toml:1\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint([&] {
              t.number("rate", {0.75, 1});
            }),
            "error[E0204]: `rate` is 0.5, but must be at least 0.75\n  --> r.toml:2\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint([&] {
              t.integers("shape", {4, 9});
            }),
            "error[E0204]: `shape` is 3, but must be at least 4\n  --> r.toml:5\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint([&] { t.number("endless"); }),
            "error[E0204]: `endless` is inf, but must be finite\n  --> r.toml:9\n  help: give a value of that kind and range");
}

TEST(Text, NamesUnknownChoices) {
  const std::string options[] = {"walk", "runs"};
  EXPECT_EQ(complaint([&] { table().choice("name", options); }),
            "error[E0205]: `name` is \"run\", which is not known\n  --> r.toml:4\n  help: did you mean `runs`? known values: walk, runs");
}

TEST(Text, NamesMissingKeys) {
  EXPECT_EQ(
      complaint([&] { table().integer("batch"); }),
      "error[E0202]: key `batch` is missing\n  --> r.toml:1\n  help: add the key; models/README.md and docs/results.md list all of them");
  EXPECT_EQ(complaint([&] { table().integer("epoch"); }),
            "error[E0202]: key `epoch` is missing\n  --> r.toml:1\n  help: is `epochs` meant to be `epoch`?");
}

TEST(Text, RefusesKeysThatNobodyRead) {
  const TextTable t = TextTable::parse("epochs = 1\nlearing_rate = 2\n[data]\nsorce = 1\n", "r.toml");
  EXPECT_EQ(t.integer("epochs"), 1);
  EXPECT_EQ(t.number_or("learning_rate", 0.1), 0.1);
  const TextTable data = t.table("data");
  EXPECT_EQ(complaint([&] { t.refuse_unread(); }),
            "error[E0203]: unknown key `learing_rate`\n  --> r.toml:2\n  help: did you mean `learning_rate`? known keys: epochs, "
            "learning_rate, data");
  EXPECT_TRUE(t.has("learing_rate"));
  EXPECT_NE(complaint([&] { t.refuse_unread(); }), "no error") << "asking whether a key is there does not read it";
  t.number("learing_rate");
  data.string_or("source", "");
  EXPECT_EQ(complaint([&] { t.refuse_unread(); }),
            "error[E0203]: unknown key `sorce` in `data`\n  --> r.toml:4\n  help: did you mean `source`? known keys: source");
  data.integer("sorce");
  EXPECT_EQ(complaint([&] { t.refuse_unread(); }), "no error");
}

TEST(Text, PlacesSyntaxErrors) {
  const std::string said = complaint([] { TextTable::parse("a = 1\nb = \n", "r.toml"); });
  EXPECT_NE(said.find("--> r.toml:2"), std::string::npos) << said;
  EXPECT_NE(complaint([] { TextTable::parse("a = 99999999999999999999", "r.toml"); }).find("not representable in 64 bits"),
            std::string::npos);
  EXPECT_NE(complaint([] { TextTable::parse("a = 1\na = 2", "r.toml"); }).find("--> r.toml:2"), std::string::npos);
  EXPECT_NE(complaint([] { TextTable::parse("a = \"\xff\"", "r.toml"); }).find("--> r.toml:1"), std::string::npos);
}

TEST(Text, DoubleCommasAreRefused) {
  const std::string said = complaint([] { TextTable::parse("a = 1\nb = [1,,2]\n", "r.toml"); });
  EXPECT_NE(said.find("--> r.toml:2"), std::string::npos) << said;
}

TEST(Text, EmptyArraysAreRefused) {
  EXPECT_EQ(complaint([] { TextTable::parse("a = []", "r.toml").integers("a"); }),
            "error[E0204]: `a` is an empty array\n  --> r.toml:1\n  help: give a value of that kind and range");
}

TEST(Nearest, CountsEdits) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("kernel", "kernel"), 0u);
  EXPECT_EQ(edit_distance("kernel", "kernal"), 1u);
  EXPECT_EQ(edit_distance("kernel", "krenel"), 1u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Nearest, SuggestsOnlyWhatIsNear) {
  const std::string known[] = {"momentum", "learning_rate", "conv2d"};
  EXPECT_EQ(nearest("learing_rate", known), "learning_rate");
  EXPECT_EQ(nearest("conv", known), "conv2d");
  EXPECT_EQ(nearest("batch", known), "");
  EXPECT_EQ(nearest("m", known), "");
  EXPECT_EQ(nearest(std::string(1'000'000, 'm'), known), "");
  EXPECT_EQ(suggestion("x", "keys", {}), "known keys: none");
}

}  // namespace
}  // namespace fovea::model
