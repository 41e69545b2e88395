// Forward convolution and its gradient by the image on the tensor cores, with what is done to the sums on their way to memory.
#include "fovea/backend/cuda/tensor_conv2d.cuh"

namespace fovea::cuda {
namespace {

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
    default:
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
        {maps_of(product, choice, dtype_, buffers.in[ends_.image].data, buffers.in[ends_.filter].data), extent_of(product, choice), to,
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
