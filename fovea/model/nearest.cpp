// Optimal string alignment distance (Damerau 1964), small enough for words that people type.
#include "fovea/model/nearest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace fovea::model {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> distance(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) distance[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) distance[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = distance[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      distance[i][j] = std::min({distance[i - 1][j] + 1, distance[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
    }
  }
  return distance[a.size()][b.size()];
}

std::string nearest(std::string_view word, std::span<const std::string> known) {
  constexpr size_t shortest = 2, longest = 100;
  if (word.size() < shortest || word.size() > longest) return "";
  std::string found;
  size_t least = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const bool continued = candidate.starts_with(word) || (candidate.size() >= shortest && word.starts_with(candidate));
    const size_t distance = continued ? 1 : edit_distance(word, candidate);
    if (distance >= least) continue;
    least = distance;
    found = candidate;
  }
  return found;
}

std::string suggestion(std::string_view word, std::string_view what, std::span<const std::string> known) {
  const std::string all = fmt::format("known {}: {}", what, known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
  const std::string near = nearest(word, known);
  return near.empty() ? all : fmt::format("did you mean `{}`? {}", near, all);
}

}  // namespace fovea::model
