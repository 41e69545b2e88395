// From the text that asks for a data set to the data set.
#include "fovea/data/dataset.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>

#include "fovea/base/error.h"
#include "fovea/base/thread.h"
#include "fovea/data/cifar.h"
#include "fovea/data/digits.h"
#include "fovea/data/mnist.h"
#include "fovea/data/synthetic.h"

namespace fovea::data {
namespace {

Error spec_error(std::string_view spec, std::string_view what) {
  return std::move(Error(ErrorId::data_spec, fmt::format("data set `{}`: {}", spec, what))
                       .help("ask for one of: digits[:SEED], mnist:DIR, cifar10:DIR, synthetic:HxWxC:CLASSES[:TRAIN[:TEST]]"));
}

std::vector<std::string_view> fields(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <class Integer>
std::optional<Integer> whole_number(std::string_view text) {
  Integer value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

uint64_t parse_seed(std::string_view spec, std::string_view text) {
  const auto seed = whole_number<uint64_t>(text);
  if (!seed) throw spec_error(spec, fmt::format("the seed `{}` is not a whole number from 0 to 2^64 - 1", text));
  return *seed;
}

int64_t parse_size(std::string_view spec, std::string_view what, std::string_view text, int64_t most) {
  const auto size = whole_number<int64_t>(text);
  if (!size || *size < 1 || *size > most) {
    throw spec_error(spec, fmt::format("{} is `{}`, which is not a whole number from 1 to {}", what, text, most));
  }
  return *size;
}

SyntheticShape parse_synthetic(std::string_view spec, std::string_view rest) {
  const std::vector<std::string_view> parts = fields(rest, ':');
  const std::vector<std::string_view> sides = fields(parts[0], 'x');
  if (parts.size() < 2 || parts.size() > 4 || sides.size() != 3) {
    throw spec_error(spec, "expected sizes and classes, as in synthetic:32x32x3:10 or synthetic:32x32x3:10:50000:10000");
  }
  constexpr int64_t most_per_side = 65'536, most_images = 1'000'000'000;
  SyntheticShape shape;
  shape.h = parse_size(spec, "the height", sides[0], most_per_side);
  shape.w = parse_size(spec, "the width", sides[1], most_per_side);
  shape.c = parse_size(spec, "the number of channels", sides[2], most_per_side);
  shape.classes = parse_size(spec, "the number of classes", parts[1], most_per_side);
  if (parts.size() > 2) shape.train = parse_size(spec, "the number of training images", parts[2], most_images);
  if (parts.size() > 3) shape.test = parse_size(spec, "the number of test images", parts[3], most_images);
  return shape;
}

}  // namespace

Dataset load(std::string_view spec) {
  const size_t colon = spec.find(':');
  const std::string_view kind = spec.substr(0, colon);
  const std::string_view rest = colon == std::string_view::npos ? std::string_view{} : spec.substr(colon + 1);
  const int threads = usable_threads();
  Dataset dataset;
  if (kind == "digits") {
    dataset = digits({.seed = colon == std::string_view::npos ? 1 : parse_seed(spec, rest), .threads = threads});
  } else if (kind == "mnist" || kind == "cifar10") {
    if (rest.empty()) throw spec_error(spec, fmt::format("`{}` needs the folder of its files, as in {}:data/{}", kind, kind, kind));
    dataset = kind == "mnist" ? mnist(rest, threads) : cifar10(rest, threads);
  } else if (kind == "synthetic") {
    dataset = synthetic(parse_synthetic(spec, rest), threads);
  } else {
    throw spec_error(spec, fmt::format("there is no kind `{}`", kind));
  }
  dataset.spec = spec;
  return dataset;
}

}  // namespace fovea::data
