// Batch norms, and what joins branches.
#include <fmt/format.h>

#include "fovea/study/case_families.h"

namespace fovea::study {
namespace {

void add(std::vector<OpCase>& cases, const Op& op, const std::string& text, Exactness exactness) {
  OpCase added;
  added.name = fmt::format("{} {}", name_of(op), text);
  added.op = op;
  added.exactness = exactness;
  cases.push_back(std::move(added));
}

}  // namespace

void add_batch_norms(std::vector<OpCase>& cases) {
  struct Size {
    int64_t rows, c;
    float epsilon = 1e-5f;
  };
  // Few rows may lie close together: a larger epsilon keeps what is divided by their deviation well conditioned.
  for (const auto& [rows, c, epsilon] : std::vector<Size>{{1, 1, 0.1f},
                                                          {1, 5, 0.1f},
                                                          {2, 3, 0.1f},
                                                          {64, 1},
                                                          {35, 17},
                                                          {98, 64},
                                                          {600, 5},
                                                          {1031, 33},
                                                          {40, 2048},
                                                          {3000, 16},
                                                          {700, 132}}) {
    const std::string text = fmt::format("{}x{}", rows, c);
    add(cases, BatchNormForward{rows, c, epsilon, {}}, text, Exactness::no);
    add(cases, BatchNormInference{rows, c, epsilon, {}}, text, Exactness::no);
    const BatchNormBackward backward = {.rows = rows, .c = c, .epsilon = epsilon, .types = {}};
    add(cases, backward, text, Exactness::no);
    BatchNormBackward adds = backward;
    adds.into = Into::add;
    add(cases, adds, text + " add", Exactness::no);
    adds.into_scale = Into::add;
    adds.into_shift = Into::add;
    add(cases, adds, text + " add all", Exactness::no);
    adds.into = Into::overwrite;
    add(cases, adds, text + " add parameters", Exactness::no);
  }
}

void add_joins(std::vector<OpCase>& cases) {
  for (const int64_t elements : {1, 7, 64, 1023, 30001}) add(cases, Add{elements, {}}, fmt::format("{}", elements), Exactness::yes);
  const std::vector<std::pair<int64_t, std::vector<int64_t>>> concats = {
      {1, {1, 1}}, {35, {3, 17}}, {6, {64, 32, 5}}, {12, {9}}, {301, {20, 33}}};
  for (const auto& [rows, channels] : concats) {
    const ConcatForward forward = {rows, channels, {}};
    const std::string text = fmt::format("{}x{}", rows, forward.c());
    add(cases, forward, text, Exactness::yes);
    for (int part = 0; part < static_cast<int>(channels.size()); ++part)
      for (const Into into : {Into::overwrite, Into::add})
        add(cases, ConcatBackward{forward, part, into}, fmt::format("{} part {}{}", text, part, into == Into::add ? " add" : ""),
            Exactness::yes);
  }
  const std::vector<ShortcutShape> shortcuts = {{.n = 1, .h = 1, .w = 1, .c = 1, .k = 1},
                                                {.n = 2, .h = 5, .w = 4, .c = 3, .k = 3, .stride = 2},
                                                {.n = 2, .h = 8, .w = 8, .c = 16, .k = 32, .stride = 2},
                                                {.n = 1, .h = 7, .w = 9, .c = 5, .k = 11, .stride = 3},
                                                {.n = 2, .h = 3, .w = 5, .c = 6, .k = 8},
                                                {.n = 9, .h = 12, .w = 11, .c = 16, .k = 32, .stride = 2}};
  for (const ShortcutShape& shape : shortcuts) {
    const std::string text = fmt::format("{}x{}x{}x{} k{} stride {}", shape.n, shape.h, shape.w, shape.c, shape.k, shape.stride);
    add(cases, ShortcutForward{shape, {}}, text, Exactness::yes);
    add(cases, ShortcutBackward{shape, Into::overwrite, {}}, text, Exactness::yes);
    add(cases, ShortcutBackward{shape, Into::add, {}}, text + " add", Exactness::yes);
  }
}

}  // namespace fovea::study
