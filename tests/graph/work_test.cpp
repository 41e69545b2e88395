// The bytes that an operator has to move.
#include "fovea/graph/work.h"

#include <gtest/gtest.h>

namespace fovea::graph {
namespace {

TEST(BytesOf, CountsWhatARunHasToMove) {
  const Conv2dShape shape = {.n = 2, .h = 5, .w = 5, .c = 3, .k = 4, .window = {.r = 3, .s = 3}};
  const int64_t x = 4 * 2 * 5 * 5 * 3, w = 4 * 4 * 3 * 3 * 3, y = 4 * 2 * 3 * 3 * 4;
  EXPECT_EQ(bytes_of(Conv2dForward{shape, {}}), x + w + y);
  EXPECT_EQ(bytes_of(Conv2dBackwardData{shape, Into::overwrite, {}}), y + w + x);
  EXPECT_EQ(bytes_of(Conv2dBackwardData{shape, Into::add, {}}), y + w + 2 * x) << "what is added to is read and written";
  EXPECT_EQ(bytes_of(MaxPoolForward{{.n = 1, .h = 4, .w = 4, .c = 3, .window = {.r = 2, .s = 2, .stride_h = 2, .stride_w = 2}}, {}}),
            4 * 48 + 4 * 12 + 12);
  BatchNormBackward norm = {.rows = 10, .c = 2, .types = {}};
  const int64_t overwriting = bytes_of(norm);
  EXPECT_EQ(overwriting, 4 * (3 * 20 + 5 * 2));
  norm.into_scale = Into::add;
  EXPECT_EQ(bytes_of(norm), overwriting + 4 * 2) << "dscale alone is read too";
  EXPECT_EQ(bytes_of(Flatten{{2, 3, 3, 4}}), 0);
}

TEST(BytesOf, AugmentReadsItsImagesAlone) {
  Augment augment = {.n = 2, .h = 3, .w = 3, .c = 1, .images = 2, .mean = {0}, .deviation = {1}, .types = {}};
  const int64_t of_two = bytes_of(augment);
  EXPECT_EQ(of_two, 2 * 9 + 2 * 4 + static_cast<int64_t>(sizeof(StepControl)) + 4 * 18 + 2 * 4);
  augment.images = 60000;
  EXPECT_EQ(bytes_of(augment), of_two);
}

}  // namespace
}  // namespace fovea::graph
