// What the kernels of small networks are launched with. Offsets are in bytes, from the start of a block's shared memory.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>

#include "fovea/backend/cuda/divider.h"
#include "fovea/base/philox.h"
#include "fovea/device/device.h"
#include "fovea/graph/op.h"

namespace fovea::cuda {

// A warp of a wide kernel computes up to four matrices of eight filters at a time, of a narrow one two, with so few registers that two of
// its blocks share a multiprocessor.
enum class Width : uint8_t { narrow, wide };
constexpr int blocks_at_once(Width width) { return width == Width::narrow ? 2 : 1; }
// For the compiler; 0: with as many registers as it likes.
constexpr int least_blocks(Width width) { return width == Width::narrow ? 2 : 0; }

constexpr int most_stages = 4;      // convolutions, and linear layers
constexpr int image_threads = 512;  // of a block that works on images one by one
constexpr int filter_threads = 256;
constexpr int filter_columns = 9;  // matrices of eight numbers of the contraction that a warp sums up
constexpr int head_images = 8;     // of a block that computes the linear layers

// count units from where they lie side by side to lines: line l goes to start + l / lines outer + l % lines inner.
struct Copy {
  int count = 0, unit = 16, start = 0, outer = 0, inner = 0;
  int image_bytes = 0;  // from image to image, where there are several
  Divider by_units = {}, by_line = {};
};

// A convolution with its bias and relu, perhaps with 2 x 2 max pooling.
struct ConvStage {
  int h = 1, w = 1, c = 1, k = 1, r = 1, s = 1;
  int p = 1, q = 1;          // outputs of the convolution
  int out_h = 1, out_w = 1;  // of the pool; those of the convolution without one
  bool pool = false;
  bool filter_gaps = true, image_gaps = true;  // whether copies leave something between that is read, and has to be zero

  // In shared memory: pixels of `line` channels with zeros around the image, `pitch` bytes from pixel to pixel. The first image is as it is
  // in memory (`raw`), since so few channels would leave most of a matrix empty.
  bool raw = false;
  int line = 8, pitch = 16, row_bytes = 16, image_bytes = 16;
  int filter_pitch = 16, filter_rows = 16;  // rows of filters in shared memory, (r, s, line) each
  int tiles_n = 2;                          // matrices of eight filters that a warp computes at a time
  Copy image, filter;
  Divider by_out_w;

  FOVEA_HOST_DEVICE int contraction() const { return r * s * (raw ? c : line); }
  FOVEA_HOST_DEVICE int groups() const { return (contraction() + 7) / 8; }  // of eight numbers of the contraction
  FOVEA_HOST_DEVICE int steps() const { return (groups() + 1) / 2; }
  FOVEA_HOST_DEVICE int filter_bytes() const { return filter_rows * filter_pitch; }
  FOVEA_HOST_DEVICE int offset_bytes() const { return steps() * (raw ? 32 : 8); }
  FOVEA_HOST_DEVICE int inputs() const { return h * w * c; }
  FOVEA_HOST_DEVICE int outputs() const { return out_h * out_w * k; }
  FOVEA_HOST_DEVICE int elements() const { return k * r * s * c; }
};
ConvStage conv_stage(const Conv2dShape& shape, bool pool, bool first);
inline int padded(int bytes, int to = 128) { return (bytes + to - 1) / to * to; }
inline int odd_pitch(int bytes) { return bytes / 16 % 2 == 1 ? bytes : bytes + 16; }  // of 16 bytes: matrices without bank conflicts

// The gradient of a convolution's sums in shared memory: `columns` pixels a row; that of output (0, 0) is at `first`.
struct GradientPlace {
  int columns = 1, pitch = 16, first = 0, bytes = 16;
  Divider by_pieces = {};
};

struct ForwardStage {
  ConvStage stage;
  const void* w;    // (k, r, s, c)
  const float* b;   // (k)
  void* y;          // (n, out_h, out_w, k)
  uint8_t* routes;  // the same: a bit for each pixel of the pool's window through which the gradient goes. nullptr: not wanted
  int filters_at, offsets_at, bias_at, image_at;
};
struct ForwardJob {
  int stages = 0, images = 0, teams = 1;
  Width width = Width::wide;
  ForwardStage stage[most_stages];
  const void* x;
  int raw_bytes, team_at, team_bytes, bytes;  // raw_bytes: of one of the two first images
};

struct BackwardStage {
  ConvStage stage;
  GradientPlace place;
  const void *w, *dy;  // of the outputs
  const uint8_t* routes;
  void* dx;
  int filters_at, image_offsets_at, filter_offsets_at, gradient_at, tiles_n;
  FOVEA_HOST_DEVICE int groups() const { return stage.r * stage.s * ((stage.k + 7) / 8); }
};
struct BackwardJob {
  int stages = 0, images = 0, teams = 1;  // stage[0] is the first convolution, which has no dx
  Width width = Width::wide;
  BackwardStage stage[most_stages];
  int team_at, team_bytes, bytes;
};

struct LinearStage {
  int c, k;
  int pitch;  // bytes of a line of the matrix, and of an image's input
  const void* w;
  const float* b;
  void* x;   // (n, c)
  void* dy;  // (n, k): gradient of the sums
  int filter_at, x_at, bias_at;
  int splits;  // of the contraction, among the warps
  Copy matrix, input;
  FOVEA_HOST_DEVICE int rows() const { return (k + 15) / 16 * 16; }
};
struct HeadJob {
  int stages = 0, images = 0;
  LinearStage stage[most_stages];
  const int32_t* t;
  void* dx;          // (n, c of the first)
  float* loss;       // (n)
  int32_t* correct;  // (n): -1 for ignored labels
  const LossScale* loss_scale;
  const float* class_weights;
  float divisor, smoothing;
  int sums_at, gradient_at, gradient_pitch, bytes;
};

// Gradients of the filters, in parts that are added up later: (chunks, k, groups, 8) and (chunks, k).
struct FilterStage {
  ConvStage stage;
  GradientPlace place;
  const void *x, *dy;
  const uint8_t* routes;
  float *parts, *bias_parts;
  Copy gradients, pooled_routes;  // of one image, or of `together`
  int pixels, columns, steps;     // of one image, in all, in a row, and sixteen at a time
  int units, splits, unit_blocks, chunks, images_per_chunk, together, first_block;
  int image_at, gradient_at, dy_at, routes_at, offsets_at, pixels_at, bytes;
};
// Of matrices: 64 x 64 elements a block, over a part of the images: (parts, k, c) and (parts, k).
struct MatrixStage {
  int c, k, tiles_c, tiles_k, first_block;
  const void *x, *dy;
  float *parts, *bias_parts;
};
struct FilterJob {
  int stages = 0, matrices = 0, images = 0, matrix_parts = 1, images_per_part = 1, first_matrix_block = 0, blocks = 0, bytes = 0;
  FilterStage stage[most_stages];
  MatrixStage matrix[most_stages];
};

// One tensor that is the sum of its parts: element (k, tap, channel) of a part is at k row + tap line + channel.
struct SumStage {
  const float* parts = nullptr;
  float* to = nullptr;
  int count = 0, elements = 0, step = 0;  // step: from part to part
  int row = 1, line = 0;
  int ways = 1;  // threads that share an element
  int first_block = 0;
  bool adds = false;
  Divider by_run = {}, by_taps = {};
};
struct SumJob {
  int tensors = 0, images = 0, blocks = 0;
  SumStage stage[4 * most_stages];
  const float* loss;
  const int32_t* correct;
  Metrics* metrics;
};

struct SmallDevice {
  int multiprocessors = 0;
  int shared_bytes = 0;  // of a block; 0 where the kernels were not compiled for such a GPU as they need
};
struct SmallLaunch {
  Stream* stream;
  DType dtype;
  SmallDevice device;
};
SmallDevice this_small_device();
void run_small_forward(const ForwardJob& job, const SmallLaunch& launch);
void run_small_head(const HeadJob& job, const SmallLaunch& launch);
void run_small_backward(const BackwardJob& job, const SmallLaunch& launch);
void run_small_filters(const FilterJob& job, const SmallLaunch& launch);
void run_small_sums(const SumJob& job, const SmallLaunch& launch);
int filter_block_bytes(const FilterStage& stage);
int matrix_block_bytes();

}  // namespace fovea::cuda
