#include "fovea/backend/cuda/small_plan.h"

#include <algorithm>
#include <numeric>

namespace fovea::cuda {
namespace {

constexpr int value_bytes = 2;
constexpr int largest_image = 1 << 16;  // bytes: offsets within it have sixteen bits

int to_int(int64_t value) { return static_cast<int>(value); }
int ceil_div(int a, int b) { return (a + b - 1) / b; }
int unit_of(int bytes) { return std::gcd(bytes, 16); }

// Hands out shared memory.
class Room {
 public:
  int take(int bytes) {
    const int at = bytes_;
    bytes_ += padded(bytes);
    return at;
  }
  int bytes() const { return bytes_; }

 private:
  int bytes_ = 0;
};

void set_raw_image(ConvStage& stage, const Window& window) {
  const int line = stage.w * stage.c * value_bytes, left = to_int(window.pad_left) * stage.c * value_bytes,
            unit = std::gcd(unit_of(line), left);
  stage.line = stage.c;
  stage.pitch = stage.c * value_bytes;
  stage.row_bytes = padded((stage.q + stage.s - 1) * stage.pitch, unit);
  stage.image = {
      .count = stage.h * (line / unit), .unit = unit, .start = to_int(window.pad_top) * stage.row_bytes + left, .outer = stage.row_bytes};
  stage.image.by_units = Divider(line / unit);
  const int of_filter = stage.r * stage.s * stage.c * value_bytes, filter_unit = unit_of(of_filter);
  stage.filter_pitch = odd_pitch(stage.steps() * 32);
  stage.filter = {.count = stage.k * (of_filter / filter_unit), .unit = filter_unit, .outer = stage.filter_pitch};
  stage.filter.by_units = Divider(of_filter / filter_unit);
}

void set_padded_image(ConvStage& stage, const Window& window) {
  const int pixel = stage.c * value_bytes, unit = unit_of(pixel);
  stage.line = padded(stage.c, 8);
  stage.pitch = odd_pitch(stage.line * value_bytes);
  stage.row_bytes = (stage.q + stage.s - 1) * stage.pitch;
  stage.image = {.count = stage.h * stage.w * (pixel / unit),
                 .unit = unit,
                 .start = to_int(window.pad_top) * stage.row_bytes + to_int(window.pad_left) * stage.pitch,
                 .outer = stage.row_bytes,
                 .inner = stage.pitch};
  stage.image.by_units = Divider(pixel / unit);
  stage.image.by_line = Divider(stage.w);
  stage.filter_pitch = odd_pitch(stage.steps() * 32);
  stage.filter = {
      .count = stage.k * stage.r * stage.s * (pixel / unit), .unit = unit, .outer = stage.filter_pitch, .inner = stage.line * value_bytes};
  stage.filter.by_units = Divider(pixel / unit);
  stage.filter.by_line = Divider(stage.r * stage.s);
}

ConvStage conv_stage(const SmallConv& conv, size_t number) {
  const Conv2dShape& shape = conv.shape;
  const Window& window = shape.window;
  ConvStage stage;
  stage.h = to_int(shape.h), stage.w = to_int(shape.w), stage.c = to_int(shape.c), stage.k = to_int(shape.k);
  stage.r = to_int(window.r), stage.s = to_int(window.s);
  stage.p = to_int(shape.p()), stage.q = to_int(shape.q());
  stage.pool = conv.pooling == Pooling::two_by_two;
  stage.out_h = stage.pool ? stage.p / 2 : stage.p;
  stage.out_w = stage.pool ? stage.q / 2 : stage.q;
  stage.by_out_w = Divider(stage.out_w);
  stage.raw = number == 0 && stage.c % 8 != 0;
  stage.raw ? set_raw_image(stage, window) : set_padded_image(stage, window);
  stage.image_bytes = padded((stage.p + stage.r - 1) * stage.row_bytes, 16);
  stage.image.image_bytes = stage.image_bytes;
  stage.image_gaps = window.pad_top + window.pad_bottom + window.pad_left + window.pad_right > 0 || stage.line != stage.c;
  const int tiles_m = ceil_div(stage.out_h * stage.out_w, stage.pool ? 8 : 32);
  stage.tiles_n = stage.k > 16 && tiles_m * ceil_div(stage.k, 32) >= 8 ? 4 : 2;
  stage.filter_rows = padded(stage.k, 8 * stage.tiles_n);
  stage.filter_gaps = stage.line != stage.c || stage.contraction() % 16 != 0 || stage.filter_rows != stage.k;
  return stage;
}

int images_of(const SmallNet& net) { return to_int(net.convs.front().shape.n); }

// Of a block, where two of them share a multiprocessor.
int half_of_shared(const SmallDevice& device) {
  constexpr int block_overhead = 1024;
  return (device.shared_bytes + block_overhead) / 2 - block_overhead;
}

// As many images at a time as there are, and as fit; two blocks a multiprocessor where one each would not take all images at once.
template <class Job>
void take_teams(Job& job, int shared, int of_team, const SmallDevice& device, bool has_wide_stage) {
  job.team_at = shared;
  job.team_bytes = of_team;
  for (job.teams = 4; job.teams > 1; job.teams /= 2)
    if (shared + job.teams * of_team <= device.shared_bytes && job.teams * device.multiprocessors <= job.images) break;
  job.bytes = shared + job.teams * of_team;
  const bool fill_more = job.images > job.teams * device.multiprocessors;
  job.width = !has_wide_stage && fill_more && job.bytes <= half_of_shared(device) ? Width::narrow : Width::wide;
}

}  // namespace

std::optional<ForwardJob> plan_forward(const SmallNet& net, const SmallDevice& device) {
  ForwardJob job{};
  job.stages = static_cast<int>(net.convs.size());
  job.images = images_of(net);
  Room shared, own;
  bool has_wide_stage = false;
  for (size_t i = 0; i < net.convs.size(); ++i) {
    ForwardStage& forward = job.stage[i];
    forward.stage = conv_stage(net.convs[i], i);
    has_wide_stage = has_wide_stage || forward.stage.tiles_n > 2;
    if (forward.stage.image_bytes > largest_image) return std::nullopt;
    forward.filters_at = shared.take(forward.stage.filter_bytes());
    forward.offsets_at = shared.take(forward.stage.offset_bytes());
    forward.bias_at = shared.take(forward.stage.filter_rows * 4);
    if (i == 0) job.raw_bytes = padded(forward.stage.image_bytes);
    forward.image_at = own.take(i == 0 ? 2 * job.raw_bytes : forward.stage.image_bytes);
  }
  take_teams(job, shared.bytes(), own.bytes(), device, has_wide_stage);
  return job.bytes <= device.shared_bytes ? std::optional(job) : std::nullopt;
}

std::optional<HeadJob> plan_head(const SmallNet& net, const SmallDevice& device) {
  HeadJob job{};
  job.stages = static_cast<int>(net.linears.size());
  job.images = images_of(net);
  job.divisor = static_cast<float>(net.loss.divisor);
  job.smoothing = net.loss.forward.smoothing;
  Room room;
  int sums = 0;
  for (size_t i = 0; i < net.linears.size(); ++i) {
    LinearStage& stage = job.stage[i];
    stage.c = to_int(net.linears[i].shape.c), stage.k = to_int(net.linears[i].shape.k);
    stage.pitch = odd_pitch(padded(stage.c, 16) * value_bytes);
    stage.filter_at = room.take(stage.rows() * stage.pitch);
    stage.x_at = room.take(head_images * stage.pitch);
    stage.bias_at = room.take(stage.k * 4);
    const int line = stage.c * value_bytes, unit = unit_of(line), tiles = stage.rows() / 16;
    stage.matrix = {.count = stage.k * (line / unit), .unit = unit, .outer = stage.pitch};
    stage.matrix.by_units = Divider(line / unit);
    stage.input = {.count = line / unit, .unit = unit, .outer = stage.pitch, .image_bytes = stage.pitch};
    stage.input.by_units = Divider(line / unit);
    for (stage.splits = 1; stage.splits * 2 * tiles <= image_threads / 32;) stage.splits *= 2;
    sums = std::max(sums, stage.splits * stage.rows() * head_images * 4);
  }
  job.sums_at = room.take(sums);
  job.gradient_pitch = odd_pitch(job.stage[job.stages - 1].rows() * value_bytes);
  job.gradient_at = room.take(head_images * job.gradient_pitch);
  job.bytes = room.bytes();
  return job.bytes <= device.shared_bytes ? std::optional(job) : std::nullopt;
}

std::optional<BackwardJob> plan_backward(const SmallNet& net, const SmallDevice& device) {
  BackwardJob job{};
  job.stages = static_cast<int>(net.convs.size());
  job.images = images_of(net);
  Room shared, own;
  bool has_wide_stage = false;
  for (size_t i = 1; i < net.convs.size(); ++i) {
    BackwardStage& back = job.stage[i];
    back.stage = conv_stage(net.convs[i], i);
    const ConvStage& stage = back.stage;
    const Window& window = net.convs[i].shape.window;
    GradientPlace& place = back.place;
    place.columns = stage.w + stage.s - 1;
    place.pitch = odd_pitch(padded(stage.k, 8) * value_bytes);
    place.first = (to_int(stage.r - 1 - window.pad_top) * place.columns + to_int(stage.s - 1 - window.pad_left)) * place.pitch;
    place.bytes = (stage.h + stage.r - 1) * place.columns * place.pitch;
    place.by_pieces = Divider(stage.k % 8 == 0 ? stage.k / 8 : stage.k / 2);
    back.filters_at = shared.take(stage.filter_bytes());
    back.image_offsets_at = shared.take((back.groups() + 1) * 4);
    back.filter_offsets_at = shared.take((back.groups() + 1) * 4);
    back.gradient_at = own.take(place.bytes);
    const int eights = stage.line / 8;
    back.tiles_n = eights >= 4 && ceil_div(stage.h * stage.w, 32) * ceil_div(eights, 4) >= 8 ? 4 : 2;
    has_wide_stage = has_wide_stage || back.tiles_n > 2;
  }
  take_teams(job, shared.bytes(), own.bytes(), device, has_wide_stage);
  return job.bytes <= device.shared_bytes ? std::optional(job) : std::nullopt;
}

namespace {

void place_filter_stage(FilterStage& filter) {
  const ConvStage& stage = filter.stage;
  const int window = stage.pool ? 2 : 1;  // pixels that the pool leaves out have no gradient
  filter.columns = stage.out_w * window;
  filter.pixels = stage.out_h * window * filter.columns;
  filter.steps = ceil_div(filter.pixels, 16);
  // Up to eight filters lie side by side: where a matrix of sixteen reaches into the next pixel, its sums are of no filter.
  const int pitch = stage.k <= 8 ? 8 * value_bytes : odd_pitch(padded(stage.k, 16) * value_bytes);
  filter.place = {.columns = filter.columns, .pitch = pitch};
  filter.place.bytes = filter.steps * 16 * filter.place.pitch + 8 * value_bytes;
  filter.place.by_pieces = Divider(stage.k % 8 == 0 ? stage.k / 8 : stage.k / 2);
  const int outputs = stage.outputs(), gradient_unit = unit_of(outputs * value_bytes), route_unit = unit_of(outputs);
  filter.gradients = {
      .count = outputs * value_bytes / gradient_unit, .unit = gradient_unit, .outer = gradient_unit, .image_bytes = outputs * value_bytes};
  filter.pooled_routes = {.count = outputs / route_unit, .unit = route_unit, .outer = route_unit, .image_bytes = outputs};
  filter.units = ceil_div(stage.k, 32) * ceil_div(stage.groups(), filter_columns);
  for (filter.splits = 1; filter.splits * 2 * filter.units <= filter_threads / 32;) filter.splits *= 2;
  filter.unit_blocks = ceil_div(filter.units * filter.splits, filter_threads / 32);
}

// Memory of `together` images, two of each x.
void place_images(FilterStage& filter, int together) {
  const ConvStage& stage = filter.stage;
  Room room;
  filter.together = together;
  filter.image_at = room.take(2 * together * stage.image_bytes);
  filter.gradient_at = room.take(together * filter.place.bytes);
  filter.dy_at = room.take(together * filter.gradients.image_bytes);
  filter.routes_at = room.take(together * filter.pooled_routes.image_bytes);
  filter.offsets_at = room.take(stage.offset_bytes());
  filter.pixels_at = room.take(filter.steps * 32);
  filter.bytes = room.bytes();
}

// Cycles of the blocks that share an image, roughly: what each does by itself, and what its warps multiply one step after another. With 30
// in the place of 45 for images as they are, lenet5 at batch 1,024 takes 103.9 us in the place of 106.0.
double cost_of(const FilterStage& filter) {
  const int columns = std::min(filter_columns, filter.stage.groups());
  const double of_step = columns * (filter.stage.raw ? 30.0 : 15.0);
  return filter.unit_blocks * (600 + 0.6 * filter.stage.outputs() + ceil_div(filter.steps, filter.splits) * of_step);
}

// Returns the number of blocks, of which the first is number 0 for now.
int plan_matrices(const SmallNet& net, FilterJob& job) {
  constexpr int tile = 64, one_part = 256, images_of_part = 128;
  job.matrices = static_cast<int>(net.linears.size());
  job.images_per_part = job.images <= one_part ? job.images : images_of_part;
  job.matrix_parts = ceil_div(job.images, job.images_per_part);
  int blocks = 0;
  for (size_t i = 0; i < net.linears.size(); ++i) {
    MatrixStage& matrix = job.matrix[i];
    matrix.c = to_int(net.linears[i].shape.c), matrix.k = to_int(net.linears[i].shape.k);
    matrix.tiles_c = ceil_div(matrix.c, tile), matrix.tiles_k = ceil_div(matrix.k, tile);
    matrix.first_block = blocks;
    blocks += matrix.tiles_c * matrix.tiles_k * job.matrix_parts;
  }
  job.bytes = matrix_block_bytes();
  return blocks;
}

}  // namespace

std::optional<FilterJob> plan_filters(const SmallNet& net, const SmallDevice& device) {
  constexpr int most_together = 8;
  const int half = half_of_shared(device);
  FilterJob job{};
  job.stages = static_cast<int>(net.convs.size());
  job.images = images_of(net);
  const int matrix_blocks = plan_matrices(net, job);
  double cost = 0;
  for (size_t i = 0; i < net.convs.size(); ++i) {
    FilterStage& filter = job.stage[i];
    filter.stage = conv_stage(net.convs[i], i);
    place_filter_stage(filter);
    place_images(filter, 1);
    if (filter.stage.image_bytes > largest_image || filter_block_bytes(filter) > device.shared_bytes) return std::nullopt;
    job.bytes = std::max(job.bytes, filter_block_bytes(filter));
    cost += cost_of(filter);
  }
  const int slots = (job.bytes <= half ? 2 : 1) * device.multiprocessors;
  const double blocks = slots - std::min(matrix_blocks / 5, slots / 4);  // those of matrices are short
  for (size_t i = 0; i < net.convs.size(); ++i) {
    FilterStage& filter = job.stage[i];
    const int chunks = std::clamp(static_cast<int>(blocks * cost_of(filter) / cost / filter.unit_blocks), 1, job.images);
    filter.images_per_chunk = ceil_div(job.images, chunks);
    filter.chunks = ceil_div(job.images, filter.images_per_chunk);
    place_images(filter, std::clamp(std::min(half / filter.bytes, filter.images_per_chunk), 1, most_together));
    job.bytes = std::max(job.bytes, filter_block_bytes(filter));
    filter.first_block = job.blocks;
    job.blocks += filter.chunks * filter.unit_blocks;
  }
  // The short blocks come last and fill what the long ones leave: the other way round a third of the multiprocessors' time was idle.
  for (int i = 0; i < job.matrices; ++i) job.matrix[i].first_block += job.blocks;
  job.first_matrix_block = job.blocks;
  job.blocks += matrix_blocks;
  return job;
}

}  // namespace fovea::cuda
