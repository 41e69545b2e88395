#include "fovea/backend/onednn/primitive.h"

#include <fmt/format.h>

#include "fovea/base/error.h"

// Of the OpenMP that oneDNN brings.
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int);

namespace fovea::onednn {
namespace {

using dnnl::memory;
using Dims = memory::dims;

memory::data_type type_of(DType dtype) { return dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32; }

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

// Version 2 has an object between what is wished and how it is done, version 3 has not. `hint`: nothing, or the description of the
// forward primitive that a gradient belongs to.
template <class Made, class... Hint, class... Wish>
auto description_of(const std::tuple<Hint...>& hint, const Wish&... wish) {
  const OneThread one;
#if DNNL_VERSION_MAJOR < 3
  const typename Made::desc wished(wish...);
  return std::apply([&](const auto&... h) { return typename Made::primitive_desc(wished, attributes(), engine(), h...); }, hint);
#else
  return std::apply([&](const auto&... h) { return typename Made::primitive_desc(engine(), wish..., h..., attributes()); }, hint);
#endif
}

// `description` makes the description of a Made.
template <class Made, class Description>
std::optional<Primitive> if_generated(const Description& description) try {
  const OneThread one;
  const auto described = description();
  Primitive primitive(described, Made(described));
  if (!primitive.is_generated()) return std::nullopt;
  return primitive;
} catch (const dnnl::error& error) {
  if (error.status != dnnl_unimplemented) throw Error(ExitCode::internal, fmt::format("oneDNN refuses a convolution: {}", error.what()));
  return std::nullopt;
}

// The tensors of a convolution as oneDNN names them: n, channels, lines, columns.
struct Wished {
  Desc x, w, y, b;
  Dims strides, dilations, pad_before, pad_after;

  Wished(const Conv2dShape& shape, const Types& types) {
    const Window& window = shape.window;
    const auto nhwc = memory::format_tag::nhwc;
    x = Desc({shape.n, shape.c, shape.h, shape.w}, type_of(types.x), nhwc);
    w = Desc({shape.k, shape.c, window.r, window.s}, type_of(types.w), memory::format_tag::any);
    y = Desc({shape.n, shape.k, shape.p(), shape.q()}, type_of(types.y), nhwc);
    b = Desc({shape.k}, memory::data_type::f32, memory::format_tag::x);
    strides = {window.stride_h, window.stride_w};
    dilations = {window.dilation_h - 1, window.dilation_w - 1};
    pad_before = {window.pad_top, window.pad_left};
    pad_after = {window.pad_bottom, window.pad_right};
  }
};

constexpr auto direct = dnnl::algorithm::convolution_direct;  // never Winograd's, which rounds more

auto forward_of(const Wished& of) {
  return description_of<dnnl::convolution_forward>(std::tuple(), dnnl::prop_kind::forward_training, direct, of.x, of.w, of.y, of.strides,
                                                   of.dilations, of.pad_before, of.pad_after);
}

auto forward_with_bias(const Wished& of) {
  return description_of<dnnl::convolution_forward>(std::tuple(), dnnl::prop_kind::forward_training, direct, of.x, of.w, of.b, of.y,
                                                   of.strides, of.dilations, of.pad_before, of.pad_after);
}

}  // namespace

std::string library_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

const dnnl::engine& engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

OneThread::OneThread() : before_(omp_get_max_threads()) {
  if (before_ != 1) omp_set_num_threads(1);
}
OneThread::~OneThread() {
  if (before_ != 1) omp_set_num_threads(before_);
}

Pieces::Pieces(const Desc& desc, void* first, int64_t count) : Pieces(desc, first, count, desc.get_size()) {}
Pieces::Pieces(const Desc& desc, void* first, int64_t count, size_t step_bytes) {
  for (int64_t i = 0; i < count; ++i)
    memories_.emplace_back(desc, engine(), static_cast<std::byte*>(first) + static_cast<size_t>(i) * step_bytes);
}

bool Primitive::is_generated() const { return name().starts_with("jit") || name().starts_with("brg"); }

void Primitive::run(std::initializer_list<dnnl_exec_arg_t> arguments) const {
  static thread_local const dnnl::stream stream(engine());
  const OneThread one;
  const dnnl_status_t status = dnnl_primitive_execute(made_.get(), stream.get(), static_cast<int>(arguments.size()), arguments.begin());
  if (status != dnnl_success)
    throw Error(ExitCode::internal, fmt::format("oneDNN failed in {} with status {}", name(), static_cast<int>(status)));
}

std::optional<Primitive> conv2d_forward(const Conv2dShape& shape, const Types& types, WithBias with_bias) {
  const Wished of(shape, types);
  return if_generated<dnnl::convolution_forward>([&] { return with_bias == WithBias::yes ? forward_with_bias(of) : forward_of(of); });
}

std::optional<Primitive> conv2d_backward_data(const Conv2dShape& shape, const Types& types) {
  const Wished of(shape, types), forward(shape, {types.w, types.w, types.y});
  return if_generated<dnnl::convolution_backward_data>([&] {
    return description_of<dnnl::convolution_backward_data>(std::tuple(forward_of(forward)), direct, of.x, of.w, of.y, of.strides,
                                                           of.dilations, of.pad_before, of.pad_after);
  });
}

std::optional<Primitive> conv2d_backward_filter(const Conv2dShape& shape, const Types& types) {
  const Wished of(shape, types), forward(shape, {types.x, types.x, types.y});
  return if_generated<dnnl::convolution_backward_weights>([&] {
    return description_of<dnnl::convolution_backward_weights>(std::tuple(forward_of(forward)), direct, of.x, of.w, of.y, of.strides,
                                                              of.dilations, of.pad_before, of.pad_after);
  });
}

Primitive reorder(const Desc& from, const Desc& to, Into into) {
  const OneThread one;
  dnnl::primitive_attr attributes = onednn::attributes();
  if (into == Into::add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  const dnnl::reorder::primitive_desc description(engine(), from, engine(), to, attributes);
  return Primitive(description, dnnl::reorder(description));
}

Desc filter_desc(const Conv2dShape& shape, DType dtype) {
  return Desc({shape.k, shape.c, shape.window.r, shape.window.s}, type_of(dtype), memory::format_tag::ohwi);
}

}  // namespace fovea::onednn
