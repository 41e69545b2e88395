// Forward convolution and its gradient by the image on the tensor cores: 64 or 128 filters by up to 256 pixels a block, in f32 sums. One
// warp keeps a ring of stages filled with patches and filters, one or two warp groups multiply them; blocks stay for several tiles, so that
// the copies for the next tile run while this one is written.
#include "fovea/backend/cuda/tensor_ending.cuh"

namespace fovea::cuda {
namespace {

constexpr int stage_contraction = 64;  // elements of the contraction that a stage holds
// What a block works on: groups x 64 filters, `pixels` pixels, channels in boxes of `box`.
template <int groups, int pixels, int box, Ending ending>
struct BlockShape {
  static constexpr int boxes = stage_contraction / box;
  static constexpr int filter_box_bytes = group_rows * box * 2, image_box_bytes = pixels * box * 2;
  static constexpr int filter_bytes = groups * boxes * filter_box_bytes;
  static constexpr int stage_bytes = filter_bytes + boxes * image_box_bytes;
  static constexpr int chunk_bytes = chunk * group_rows * 2;
  static constexpr int blocks_per_sm = groups == 1 ? 2 : 1;
  static constexpr int bytes = shared_bytes_per_sm / blocks_per_sm - 1024;
  static constexpr int chunks = ending == Ending::plain ? 1 : chunks_that_meet;  // that a group has in shared memory
  static constexpr int ring_bytes = 128;                                         // behind them
  static constexpr int stages = std::min(8, (bytes - ring_bytes - groups * chunks * chunk_bytes) / stage_bytes);
  static_assert(sizeof(Ring<stages>) <= ring_bytes && stages > 1);
  static constexpr int threads = groups * group_threads + 32;
};

struct Maps {
  CUtensorMap image, filter;
};

template <class Shape, int groups, int box, Inner filter_inner>
__device__ inline void fill_stage(const Maps& maps, const Extent& extent, const Work& work, int round, unsigned char* stage,
                                  Barrier& full) {
  const int3 at = extent.windows.begin(work.first_pixel);
  full.arrive_and_expect(Shape::stage_bytes);
#pragma unroll
  for (int i = 0; i < Shape::boxes; ++i) {
    const int number = (work.first_round + round) * Shape::boxes + i;
    const Divided place = extent.by_blocks.divide(number);
    const Divided rs = extent.by_s.divide(place.quotient);
    const int channel = place.remainder * box, r = rs.quotient, s = rs.remainder;
    const bool beyond = number >= extent.boxes;  // what fills the last stage up: zeros, from beyond the last image and the last tap
    const int tap = beyond ? -1 : extent.first_tap + r * extent.tap_r + s * extent.tap_s;
    const ushort2 offset = beyond ? make_ushort2(0, 0) : make_ushort2(s * extent.dilation_w, r * extent.dilation_h);
    copy_patches(maps.image, full, stage + Shape::filter_bytes + i * Shape::image_box_bytes,
                 make_int4(channel, at.x, at.y, beyond ? 1 << 30 : at.z), offset);
#pragma unroll
    for (int g = 0; g < groups; ++g) {
      unsigned char* to = stage + (g * Shape::boxes + i) * Shape::filter_box_bytes;
      const int row = work.m0 + g * group_rows;
      copy_tile(maps.filter, full, to, filter_inner == Inner::contraction ? make_int3(channel, tap, row) : make_int3(row, tap, channel));
    }
  }
}

template <class T, class Shape, int pixels, int box, Inner filter_inner>
__device__ __forceinline__ void multiply_stage(float (&d)[pixels / 2], const unsigned char* filter, const unsigned char* image) {
#pragma unroll
  for (int i = 0; i < Shape::boxes; ++i)
#pragma unroll
    for (int j = 0; j < box / 16; ++j) {
      const unsigned char *a = filter + i * Shape::filter_box_bytes, *b = image + i * Shape::image_box_bytes + j * 32;
      const uint64_t of_a = filter_inner == Inner::contraction
                                ? operand<box * 2>(a + j * 32, 16, 8 * box * 2)
                                : operand<group_rows * 2>(a + j * 16 * group_rows * 2, 16, 8 * group_rows * 2);
      Wgmma<T, pixels, filter_inner, Inner::contraction>::add(d, of_a, operand<box * 2>(b, 16, 8 * box * 2), 1);
    }
}

template <class T, int groups, int pixels, int box, Inner filter_inner, Ending ending>
__global__ void __launch_bounds__(BlockShape<groups, pixels, box, ending>::threads, BlockShape<groups, pixels, box, ending>::blocks_per_sm)
    conv2d_tiles(const __grid_constant__ Maps maps, const __grid_constant__ Extent extent, const __grid_constant__ Destination to) {
  using Shape = BlockShape<groups, pixels, box, ending>;
  constexpr int stages = Shape::stages;
  extern __shared__ unsigned char raw[];
  unsigned char* stage_memory = first_pattern(raw);
  if (stage_memory != raw) __trap();  // nothing else is in shared memory: it begins where a pattern may
  unsigned char* chunk_memory = stage_memory + stages * Shape::stage_bytes;
  auto& ring = *reinterpret_cast<Ring<stages>*>(chunk_memory + groups * Shape::chunks * Shape::chunk_bytes);
  if (threadIdx.x == 0) ring.init(groups);
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / 32, units = extent.tiles * extent.parts;
  RingPlace place;
  if (warp == groups * 4) {
    if (threadIdx.x % 32 != 0) return;
    prefetch(maps.image);
    prefetch(maps.filter);
    for (int unit = static_cast<int>(blockIdx.x); unit < units; unit += static_cast<int>(gridDim.x)) {
      const Work work(extent, unit, groups * group_rows, pixels, Shape::boxes);
      for (int round = 0; round < work.rounds; ++round, place.advance(stages)) {
        ring.empty[place.stage].wait(place.parity ^ 1);
        fill_stage<Shape, groups, box, filter_inner>(maps, extent, work, round, stage_memory + place.stage * Shape::stage_bytes,
                                                     ring.full[place.stage]);
      }
    }
    return;
  }
  const int group = warp / 4, thread = static_cast<int>(threadIdx.x) % group_threads;
  const Transposition transposition = {chunk_memory + group * Shape::chunks * Shape::chunk_bytes, group, thread};
  Meeting<T, groups, pixels, Shape::boxes, ending> meeting(extent, to, transposition);
  if constexpr (ending != Ending::plain)
#pragma unroll
    for (int slot = 0; slot < meeting.slots; ++slot) meeting.ask();
  for (int unit = static_cast<int>(blockIdx.x); unit < units; unit += static_cast<int>(gridDim.x)) {
    Work work(extent, unit, groups * group_rows, pixels, Shape::boxes);
    work.m0 += group * group_rows;
    float d[pixels / 2];
#pragma unroll
    for (int i = 0; i < pixels / 2; ++i) d[i] = 0;
    for (int round = 0; round < work.rounds; ++round, place.advance(stages)) {
      ring.full[place.stage].wait(place.parity);
      const unsigned char* stage = stage_memory + place.stage * Shape::stage_bytes;
      wgmma_fence();
      multiply_stage<T, Shape, pixels, box, filter_inner>(d, stage + group * Shape::boxes * Shape::filter_box_bytes,
                                                          stage + Shape::filter_bytes);
      wgmma_commit();
      if (round > 0) {
        wgmma_wait<1>();  // the stage before is read
        if (thread == 0) ring.empty[place.before(stages)].arrive();
      }
    }
    wgmma_wait<0>();
    if (thread == 0 && work.rounds > 0) ring.empty[place.before(stages)].arrive();
    if (to.moments != nullptr) {
      float* moments = to.moments + int64_t{work.first_pixel / pixels} * 2 * extent.m;
      store_moments<T, pixels>(d, {moments, extent.m, work.m0, min(pixels, extent.windows.count - work.first_pixel)}, thread);
    }
    if (ending == Ending::plain && extent.parts > 1)
      store_part<pixels>(d, extent, to, work, thread);
    else
      store_outputs<T, pixels, ending>(d, extent, to, work, meeting);
  }
}

// Adds the parts up in their order, eight filters of a pixel a thread.
template <class T>
__global__ void __launch_bounds__(block_threads)
    add_parts(const float* parts, const __grid_constant__ Extent extent, const __grid_constant__ Destination to) {
  const int eights = extent.m / 8;
  const int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (i >= int64_t{extent.windows.count} * eights) return;
  const int at = static_cast<int>(i / eights), m = static_cast<int>(i % eights) * 8;
  const int64_t place = to.pixel(extent.windows, at) * extent.m + m;
  float sums[8] = {};
  if (to.before != nullptr)
#pragma unroll
    for (int j = 0; j < 8; j += 2) {
      const float2 pair = floats_of(*reinterpret_cast<const uint32_t*>(static_cast<const T*>(to.before) + place + j), T());
      sums[j] = pair.x;
      sums[j + 1] = pair.y;
    }
  for (int part = 0; part < extent.parts; ++part) {
    const float* from = parts + (int64_t{part} * extent.windows.count + at) * extent.m + m;
#pragma unroll
    for (int j = 0; j < 8; ++j) sums[j] += from[j];
  }
  uint32_t pairs[4];
#pragma unroll
  for (int j = 0; j < 8; ++j) sums[j] = finished(sums[j] + (to.bias != nullptr ? to.bias[m + j] : 0.0f), to);
#pragma unroll
  for (int j = 0; j < 4; ++j) pairs[j] = pair_of(sums[2 * j], sums[2 * j + 1], T());
  if (to.relu_y != nullptr)
#pragma unroll
    for (int j = 0; j < 4; ++j)
      pairs[j] = through_relu<T>(pairs[j], *reinterpret_cast<const uint32_t*>(static_cast<const T*>(to.relu_y) + place + 2 * j));
  *reinterpret_cast<uint4*>(static_cast<T*>(to.data) + place) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
}

// ---- host ----

struct Choice {
  int groups = 1, pixels = 256, box = 64, parts = 1, rounds_per_part = 1;
  Ending ending = Ending::plain;  // of the tiles; where the sum is in parts, those who add them up meet what there is
};

// Tiles as large as they can be while all multiprocessors have one; then the sum in parts.
Choice choose(const PatchProduct& product, Ending ending) {
  Choice choice{.groups = product.m > group_rows ? 2 : 1, .box = product.windows.c > 32 || ending != Ending::plain ? 64 : 32};
  const auto tiles = [&] { return ceil_of(product.m, choice.groups * group_rows) * ceil_of(product.windows.count(), choice.pixels); };
  while (choice.pixels > 128 && tiles() < planned_multiprocessors) choice.pixels /= 2;
  // So few rounds that the ending of a tile takes longer than its product: two blocks a multiprocessor take turns. 1 x 1, 64 -> 256
  // channels of 256 images of 56 x 56: 252 us, and 269 with tiles of 128 x 256.
  const bool is_short = product.r * product.s * product.windows.c <= 2 * stage_contraction && ending == Ending::plain;
  if (is_short || tiles() < planned_multiprocessors) choice.groups = 1;
  if (choice.groups == 1 && tiles() < planned_multiprocessors) choice.pixels = 64;
  const int64_t boxes = int64_t{product.r} * product.s * ceil_of(product.windows.c, choice.box);
  const int64_t rounds = ceil_of(boxes, stage_contraction / choice.box);
  const int64_t parts = std::clamp<int64_t>(planned_multiprocessors / tiles(), 1, std::max<int64_t>(1, rounds / 4));
  choice.rounds_per_part = static_cast<int>(ceil_of(rounds, parts));
  choice.parts = static_cast<int>(std::max<int64_t>(1, ceil_of(rounds, std::max(1, choice.rounds_per_part))));
  if (choice.parts == 1) choice.ending = ending;
  return choice;
}

template <class T, int groups, int pixels, int box, Inner filter_inner, Ending ending>
void launch_tiles(const Maps& maps, const Extent& extent, const Destination& to, const Launch& launch) {
  using Shape = BlockShape<groups, pixels, box, ending>;
  const auto kernel = conv2d_tiles<T, groups, pixels, box, filter_inner, ending>;
  static const bool prepared = [&] {
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::bytes), "cudaFuncSetAttribute");
    return true;
  }();
  static_cast<void>(prepared);
  const int blocks = std::min(extent.tiles * extent.parts, planned_multiprocessors * Shape::blocks_per_sm);
  kernel<<<static_cast<unsigned>(blocks), Shape::threads, Shape::bytes, launch.stream>>>(maps, extent, to);
  check_launch("conv2d_tiles");
}

using Launcher = void (*)(const Maps&, const Extent&, const Destination&, const Launch&);

template <class T, int box, Inner filter_inner, Ending ending>
Launcher launcher_of(const Choice& choice) {
  if (choice.groups == 2)
    return choice.pixels == 256 ? launch_tiles<T, 2, 256, box, filter_inner, ending> : launch_tiles<T, 2, 128, box, filter_inner, ending>;
  if (choice.pixels == 256) return launch_tiles<T, 1, 256, box, filter_inner, ending>;
  return choice.pixels == 128 ? launch_tiles<T, 1, 128, box, filter_inner, ending> : launch_tiles<T, 1, 64, box, filter_inner, ending>;
}
// Only gradients by the image meet anything.
template <class T>
Launcher launcher_of(const Choice& choice, PatchProduct::Filter filter) {
  switch (choice.ending) {
    case Ending::adds:
      return launcher_of<T, 64, Inner::other, Ending::adds>(choice);
    case Ending::through_relu:
      return launcher_of<T, 64, Inner::other, Ending::through_relu>(choice);
    case Ending::adds_through_relu:
      return launcher_of<T, 64, Inner::other, Ending::adds_through_relu>(choice);
    case Ending::plain:
      break;
  }
  const bool by_output = filter == PatchProduct::Filter::by_output;
  if (choice.box == 64)
    return by_output ? launcher_of<T, 64, Inner::contraction, Ending::plain>(choice)
                     : launcher_of<T, 64, Inner::other, Ending::plain>(choice);
  return by_output ? launcher_of<T, 32, Inner::contraction, Ending::plain>(choice)
                   : launcher_of<T, 32, Inner::other, Ending::plain>(choice);
}

Ending ending_of(const Ends& ends) {
  if (ends.into == Into::add) return ends.relu_behind ? Ending::adds_through_relu : Ending::adds;
  return ends.relu_behind ? Ending::through_relu : Ending::plain;
}

class PatchKernel final : public Kernel {
 public:
  PatchKernel(std::vector<PatchProduct> products, DType dtype, Ends ends)
      : Kernel("cuda"), products_(std::move(products)), dtype_(dtype), ends_(ends) {
    for (const PatchProduct& product : products_) choices_.push_back(choose(product, ending_of(ends_)));
  }

  std::string algorithm() const override {
    const Choice& choice = choices_.front();
    std::string text = "tensor cores, " + std::to_string(choice.groups * group_rows) + "x" + std::to_string(choice.pixels) + " tiles";
    if (choice.parts > 1) text += ", sum in " + std::to_string(choice.parts) + " parts";
    return products_.size() > 1 ? text + ", " + std::to_string(products_.size()) + " strided images" : text;
  }

  size_t workspace_bytes() const override {
    size_t bytes = 0;
    for (size_t i = 0; i < products_.size(); ++i)
      if (choices_[i].parts > 1)
        bytes = std::max(bytes, static_cast<size_t>(choices_[i].parts * products_[i].windows.count() * products_[i].m) * sizeof(float));
    return bytes;
  }

  void bind(Buffers buffers, void* workspace) override {
    workspace_ = workspace;
    for (size_t i = 0; i < products_.size(); ++i) prepare(products_[i], choices_[i], buffers);
  }

  void run(Stream& stream) override {
    const Launch launch = {handle_of(stream), workspace_};
    for (const Prepared& one : prepared_) {
      if (one.extent.parts == 1) {
        one.launcher(one.maps, one.extent, one.to, launch);
        continue;
      }
      Destination parts = one.to;
      parts.data = workspace_;
      one.launcher(one.maps, one.extent, parts, launch);
      const auto add = dtype_ == DType::bf16 ? add_parts<__nv_bfloat16> : add_parts<__half>;
      add<<<blocks_of_each(int64_t{one.extent.windows.count} * (one.extent.m / 8)), block_threads, 0, launch.stream>>>(launch.floats(),
                                                                                                                       one.extent, one.to);
      check_launch("add_parts");
    }
  }

 private:
  struct Prepared {
    Maps maps;
    Extent extent;
    Destination to;
    Launcher launcher;
  };

  void prepare(const PatchProduct& product, const Choice& choice, const Buffers& buffers) {
    const bool by_output = product.filter == PatchProduct::Filter::by_output;
    const int64_t sizes[] = {by_output ? product.windows.c : product.m, product.taps, by_output ? product.m : product.windows.c};
    const int tile[] = {by_output ? choice.box : group_rows, 1, by_output ? group_rows : choice.box};
    Windows windows = product.windows;
    if (product.r == 0) windows.p = windows.q = 1;  // none of them is fetched
    const Maps maps = {map_of_patches(buffers.in[ends_.image].data, dtype_, windows, choice.pixels, choice.box),
                       map_of_tiles(buffers.in[ends_.filter].data, dtype_, sizes, tile)};
    const int blocks = static_cast<int>(ceil_of(product.windows.c, choice.box));
    const int tiles_m = static_cast<int>(ceil_of(product.m, choice.groups * group_rows));
    const Extent extent = {.windows = WindowOrder(product.windows),
                           .by_s = Divider(std::max(1, product.s)),
                           .by_blocks = Divider(blocks),
                           .dilation_h = product.dilation_h,
                           .dilation_w = product.dilation_w,
                           .first_tap = product.first_tap,
                           .tap_r = product.tap_r,
                           .tap_s = product.tap_s,
                           .boxes = product.r * product.s * blocks,
                           .m = product.m,
                           .tiles_m = tiles_m,
                           .tiles = tiles_m * static_cast<int>(ceil_of(product.windows.count(), choice.pixels)),
                           .parts = choice.parts,
                           .rounds_per_part = choice.rounds_per_part};
    const PatchProduct::Places& places = product.places;
    const Destination to = {.data = buffers.out[0].data,
                            .bias = ends_.bias ? input(buffers, 2) : nullptr,
                            .moments = ends_.moments ? output(buffers, 1) : nullptr,
                            .before = ends_.into == Into::overwrite ? nullptr
                                      : ends_.relu_behind           ? buffers.in[3].data
                                                                    : buffers.out[0].data,
                            .relu_y = ends_.relu_behind ? buffers.in[2].data : nullptr,
                            .totals = ends_.totals ? output(buffers, 1) : nullptr,
                            .relu = ends_.relu,
                            .in_order = places.h == product.windows.p && places.w == product.windows.q,
                            .places = places};
    prepared_.push_back(
        {maps, extent, to,
         dtype_ == DType::bf16 ? launcher_of<__nv_bfloat16>(choice, product.filter) : launcher_of<__half>(choice, product.filter)});
  }

  std::vector<PatchProduct> products_;
  DType dtype_;
  Ends ends_;
  std::vector<Choice> choices_;
  std::vector<Prepared> prepared_;
  void* workspace_ = nullptr;
};

}  // namespace

KernelPtr patch_kernel(std::vector<PatchProduct> products, DType dtype, const Ends& ends) {
  for (const PatchProduct& product : products)
    if (!can_be_fetched(product.windows, product.r, product.s, product.dilation_h, product.dilation_w)) return nullptr;
  return std::make_unique<PatchKernel>(std::move(products), dtype, ends);
}

std::optional<Deal> whole_tiles(const PatchProduct& product, const Ends& ends) {
  const Choice choice = choose(product, ending_of(ends));
  if (choice.parts > 1) return std::nullopt;  // no tile has the whole sum
  const int64_t pixels = product.windows.count();
  return Deal{.rows = pixels, .lines = choice.pixels, .parts = static_cast<int>(ceil_of(pixels, choice.pixels))};
}

}  // namespace fovea::cuda
