#include "fovea/backend/cudnn/graph.h"

#include <cudnn.h>
#include <cudnn_frontend_EngineConfig.h>
#include <cudnn_frontend_ExecutionPlan.h>
#include <cudnn_frontend_Filters.h>
#include <cudnn_frontend_Heuristics.h>
#include <cudnn_frontend_Operation.h>
#include <cudnn_frontend_OperationGraph.h>
#include <cudnn_frontend_VariantPack.h>
#include <fmt/format.h>

#include <array>
#include <numeric>

#include "fovea/backend/cudnn/libraries.h"
#include "fovea/base/error.h"
#include "fovea/device/cuda.h"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // where cudnn-frontend finds every function of cuDNN
}

namespace fovea::cudnn {
namespace {

namespace fe = cudnn_frontend;

void check(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw Error(ErrorId::device_failure, fmt::format("{}: {}", call, fe::detail::get_error_string(status)));
}

// The handle, and the stream that it has now.
class Handle {
 public:
  Handle() { check(fe::detail::create_handle(&handle_), "cudnnCreate"); }
  ~Handle() { fe::detail::destroy_handle(handle_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  cudnnHandle_t get() const { return handle_; }
  cudnnHandle_t on(Stream& stream) {
    if (const cudaStream_t queue = handle_of(stream); queue != stream_) {
      check(fe::detail::set_stream(handle_, queue), "cudnnSetStream");
      stream_ = queue;
    }
    return handle_;
  }

 private:
  cudnnHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

cudnnDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    case DType::fp16:
      return CUDNN_DATA_HALF;
    default:
      return CUDNN_DATA_FLOAT;
  }
}

// cuDNN's order of axes is always n c h w, and k c r s; where they lie is said by the strides.
class Tensors {
 public:
  fe::Tensor image(DType dtype, const Shape& nhwc) { return make(dtype, nhwc, ++last_); }
  fe::Tensor inner(const Shape& nhwc) { return make(DType::f32, nhwc, ++last_inner_); }  // between two operations: it has no memory

 private:
  static fe::Tensor make(DType dtype, const Shape& nhwc, int64_t id) {
    const std::array<int64_t, 4> sizes = {nhwc[0], nhwc[3], nhwc[1], nhwc[2]};
    const std::array<int64_t, 4> strides = {nhwc[1] * nhwc[2] * nhwc[3], 1, nhwc[2] * nhwc[3], nhwc[3]};
    return fe::TensorBuilder()
        .setDim(4, sizes.data())
        .setStride(4, strides.data())
        .setId(id)
        .setAlignment(16)
        .setDataType(type_of(dtype))
        .setVirtual(id > first_inner)
        .build();
  }

  static constexpr int64_t first_inner = 1000;

  int64_t last_ = 0, last_inner_ = first_inner;
};

class BoundPlan final : public BoundEngine {
 public:
  BoundPlan(std::shared_ptr<Handle> handle, const fe::ExecutionPlan& plan, std::span<void* const> tensors, void* workspace)
      : handle_(std::move(handle)), plan_(plan), pack_(packed(tensors, workspace)) {}
  void run(Stream& stream) override {
    check(fe::detail::execute(handle_->on(stream), plan_.get_raw_desc(), pack_.get_raw_desc()), "cudnnBackendExecute");
  }

 private:
  static fe::VariantPack packed(std::span<void* const> tensors, void* workspace) {
    std::vector<void*> data(tensors.begin(), tensors.end());
    std::vector<int64_t> ids(data.size());
    std::iota(ids.begin(), ids.end(), int64_t{1});
    const int64_t count = std::ssize(data);
    return fe::VariantPackBuilder().setDataPointers(count, data.data()).setUids(count, ids.data()).setWorkspacePointer(workspace).build();
  }

  std::shared_ptr<Handle> handle_;
  fe::ExecutionPlan plan_;
  fe::VariantPack pack_;
};

class PlanEngine final : public Engine {
 public:
  PlanEngine(std::shared_ptr<Handle> handle, fe::ExecutionPlan plan) : handle_(std::move(handle)), plan_(std::move(plan)) {}
  size_t workspace_bytes() const override { return static_cast<size_t>(plan_.getWorkspaceSize()); }
  std::unique_ptr<BoundEngine> bind(std::span<void* const> tensors, void* workspace) override {
    return std::make_unique<BoundPlan>(handle_, plan_, tensors, workspace);
  }

 private:
  std::shared_ptr<Handle> handle_;
  fe::ExecutionPlan plan_;
};

fe::ConvDesc_v8 descriptor_of(const Window& window) {
  const std::array<int64_t, 2> strides = {window.stride_h, window.stride_w}, dilations = {window.dilation_h, window.dilation_w},
                               before = {window.pad_top, window.pad_left}, behind = {window.pad_bottom, window.pad_right};
  return fe::ConvDescBuilder_v8()
      .setComputeType(CUDNN_DATA_FLOAT)
      .setMathMode(CUDNN_CROSS_CORRELATION)
      .setSpatialDimCount(2)
      .setSpatialStride(2, strides.data())
      .setDilation(2, dilations.data())
      .setPrePadding(2, before.data())
      .setPostPadding(2, behind.data())
      .build();
}

using Operations = std::vector<fe::Operation>;

Operations forward_operations(const Convolution& c) {
  Tensors tensors;
  Operations operations;
  const Shape y_shape = c.shape.y();
  const fe::Tensor x = tensors.image(c.types.x, c.shape.x()), w = tensors.image(c.types.w, c.shape.filter());
  const auto convolve = [&](const fe::Tensor& y) {
    operations.push_back(fe::OperationBuilder(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
                             .setxDesc(x)
                             .setwDesc(w)
                             .setyDesc(y)
                             .setcDesc(descriptor_of(c.shape.window))
                             .setAlpha(1.0F)
                             .setBeta(0.0F)
                             .build());
  };
  if (c.tail == Convolution::Tail::nothing) {
    convolve(tensors.image(c.types.y, y_shape));
    return operations;
  }
  const fe::Tensor b = tensors.image(DType::f32, {1, 1, 1, c.shape.k}), y = tensors.image(c.types.y, y_shape),
                   product = tensors.inner(y_shape);
  convolve(product);
  operations.push_back(fe::OperationBuilder(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
                           .setxDesc(product)
                           .setbDesc(b)
                           .setyDesc(y)
                           .setpwDesc(fe::PointWiseDescBuilder().setMode(CUDNN_POINTWISE_ADD).setComputeType(CUDNN_DATA_FLOAT).build())
                           .build());
  return operations;
}

Operations data_operations(const Convolution& c) {
  Tensors tensors;
  const fe::Tensor dy = tensors.image(c.types.y, c.shape.y()), w = tensors.image(c.types.w, c.shape.filter()),
                   dx = tensors.image(c.types.x, c.shape.x());
  Operations operations;
  operations.push_back(fe::OperationBuilder(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
                           .setdyDesc(dy)
                           .setwDesc(w)
                           .setdxDesc(dx)
                           .setcDesc(descriptor_of(c.shape.window))
                           .setAlpha(1.0F)
                           .setBeta(c.into == Into::add ? 1.0F : 0.0F)
                           .build());
  return operations;
}

Operations filter_operations(const Convolution& c) {
  Tensors tensors;
  const fe::Tensor x = tensors.image(c.types.x, c.shape.x()), dy = tensors.image(c.types.y, c.shape.y()),
                   dw = tensors.image(c.types.w, c.shape.filter());
  Operations operations;
  operations.push_back(fe::OperationBuilder(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR)
                           .setxDesc(x)
                           .setdyDesc(dy)
                           .setdwDesc(dw)
                           .setcDesc(descriptor_of(c.shape.window))
                           .setAlpha(1.0F)
                           .setBeta(c.into == Into::add ? 1.0F : 0.0F)
                           .build());
  return operations;
}

Operations operations_of(const Convolution& c) {
  if (c.pass == Convolution::Pass::forward) return forward_operations(c);
  return c.pass == Convolution::Pass::backward_data ? data_operations(c) : filter_operations(c);
}

// Asking for engines would take a second, and all of them be compiled.
bool needs_compiling(const Convolution& c) {
  return is_small_float(c.types.x) && (c.tail != Convolution::Tail::nothing || c.types.w != c.types.x);
}

template <class T>
T attribute_of(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t attribute, cudnnBackendAttributeType_t type) {
  T value{};
  int64_t count = 0;
  check(fe::detail::get_attribute(descriptor, attribute, type, 1, &count, &value), "cudnnBackendGetAttribute");
  return value;
}

// Its number, which means something for one kind of operation only.
int64_t engine_of(cudnnBackendDescriptor_t config) {
  const fe::ManagedOpaqueDescriptor engine = fe::make_shared_backend_pointer(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t engine_raw = engine->get_backend_descriptor();
  int64_t count = 0;
  check(fe::detail::get_attribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine_raw),
        "cudnnBackendGetAttribute of the engine");
  return attribute_of<int64_t>(engine_raw, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64);
}

// "cuDNN engine 29, k2=3 k5=1", with the numbers that it gives to engines and knobs.
std::string name_of(cudnnBackendDescriptor_t config) {
  int64_t count = 0;
  std::string name = fmt::format("cuDNN engine {}", engine_of(config));

  std::vector<fe::ManagedOpaqueDescriptor> knobs(CUDNN_KNOB_TYPE_COUNTS);
  std::vector<cudnnBackendDescriptor_t> raw;
  for (fe::ManagedOpaqueDescriptor& knob : knobs) {
    knob = fe::make_shared_backend_pointer(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    raw.push_back(knob->get_backend_descriptor());
  }
  check(fe::detail::get_attribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::ssize(raw), &count,
                                  raw.data()),
        "cudnnBackendGetAttribute of the knobs");
  for (size_t i = 0; i < static_cast<size_t>(count); ++i)
    name +=
        fmt::format("{} k{}={}", i == 0 ? "," : "",
                    static_cast<int>(attribute_of<cudnnBackendKnobType_t>(raw[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE)),
                    attribute_of<int64_t>(raw[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64));
  return name;
}

// Engine 17 for filters' gradients in f32: sums of small whole numbers come out of it with fractions, as of a transform, which no note
// tells (cuDNN 9.19).
constexpr int64_t inexact_filter_engine = 17;

bool is_refused(cudnnBackendDescriptor_t config, const Convolution& c) {
  if (fe::hasBehaviorNote<CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION>(config)) return true;
  if (fe::hasNumericalNote<CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC>(config) || fe::hasNumericalNote<CUDNN_NUMERICAL_NOTE_FFT>(config) ||
      fe::hasNumericalNote<CUDNN_NUMERICAL_NOTE_WINOGRAD>(config) || fe::hasNumericalNote<CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4>(config) ||
      fe::hasNumericalNote<CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6>(config) ||
      fe::hasNumericalNote<CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13>(config) ||
      fe::hasNumericalNote<CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS>(config) ||
      fe::hasNumericalNote<CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION>(config))
    return true;
  if (c.types.x != DType::f32 || c.types.products != Products::exact) return false;
  if (c.pass == Convolution::Pass::backward_filter && engine_of(config) == inexact_filter_engine) return true;
  return fe::hasNumericalNote<CUDNN_NUMERICAL_NOTE_TENSOR_CORE>(config);
}

class GraphOffer final : public Offer {
 public:
  GraphOffer(std::shared_ptr<Handle> handle, const Convolution& convolution)
      : handle_(std::move(handle)),
        graph_(fe::OperationGraphBuilder().setHandle(handle_->get()).setOperationGraph(operations_of(convolution)).build()) {
    for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) add(mode, convolution);
  }
  size_t size() const override { return configs_.size(); }
  std::string name(size_t i) const override { return names_[i]; }
  std::shared_ptr<Engine> build(size_t i) override try {
    return std::make_shared<PlanEngine>(
        handle_, fe::ExecutionPlanBuilder().setHandle(handle_->get()).setEngineConfig(configs_[i], graph_.getTag()).build());
  } catch (const fe::cudnnException&) {
    return nullptr;
  }

 private:
  void add(cudnnBackendHeurMode_t mode, const Convolution& convolution) try {
    fe::EngineHeuristics heuristics = fe::EngineHeuristicsBuilder_v8().setOperationGraph(graph_).setHeurMode(mode).build();
    for (const fe::ManagedOpaqueDescriptor& config : heuristics.getEngineConfig(heuristics.getEngineConfigCount())) {
      if (is_refused(config->get_backend_descriptor(), convolution)) continue;
      std::string name = name_of(config->get_backend_descriptor());
      if (std::find(names_.begin(), names_.end(), name) != names_.end()) continue;
      configs_.push_back(config);
      names_.push_back(std::move(name));
    }
  } catch (const fe::cudnnException&) {
    // This graph is none that this way of asking knows: it offers nothing.
  }

  std::shared_ptr<Handle> handle_;
  fe::OperationGraph graph_;
  std::vector<fe::ManagedOpaqueDescriptor> configs_;
  std::vector<std::string> names_;
};

class NoOffer final : public Offer {
 public:
  size_t size() const override { return 0; }
  std::string name(size_t) const override { return {}; }
  std::shared_ptr<Engine> build(size_t) override { return nullptr; }
};

class OpenGraphs final : public Graphs {
 public:
  std::string version() const override {
    const size_t number = fe::detail::get_backend_version();
    return fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100);
  }
  std::unique_ptr<Offer> offer(const Convolution& convolution) override try {
    if (needs_compiling(convolution)) return std::make_unique<NoOffer>();
    return std::make_unique<GraphOffer>(handle_, convolution);
  } catch (const fe::cudnnException&) {
    return std::make_unique<NoOffer>();  // a graph that cuDNN refuses as such
  }

 private:
  std::shared_ptr<Handle> handle_ = std::make_shared<Handle>();
};

}  // namespace

std::shared_ptr<Graphs> open_graphs() {
  if (fe::cudnn_dlhandle == nullptr) fe::cudnn_dlhandle = open_library(Which::cudnn);
  return std::make_shared<OpenGraphs>();
}

}  // namespace fovea::cudnn
