#include "fovea/backend/cudnn/product.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>

#include "fovea/backend/cudnn/libraries.h"
#include "fovea/base/error.h"
#include "fovea/device/cuda.h"

namespace fovea::cudnn {
namespace {

constexpr size_t product_workspace = size_t{32} << 20;
constexpr int most_offered = 16;

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) throw Error(ErrorId::absent_backend, fmt::format("cuBLASLt has no function `{}`", name));
}

// What is used of cuBLASLt, and its handle.
struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtMatmulDescCreate) operation_create;
  decltype(&cublasLtMatmulDescDestroy) operation_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) operation_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) offer;
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) algorithm_get;
  decltype(&cublasLtMatmul) multiply;
  cublasLtHandle_t handle = nullptr;

  CublasLt() {
    void* library = open_library(Which::cublas_lt);
    find(library, "cublasLtCreate", create);
    find(library, "cublasLtDestroy", destroy);
    find(library, "cublasLtGetStatusString", status_string);
    find(library, "cublasLtMatmulDescCreate", operation_create);
    find(library, "cublasLtMatmulDescDestroy", operation_destroy);
    find(library, "cublasLtMatmulDescSetAttribute", operation_set);
    find(library, "cublasLtMatrixLayoutCreate", layout_create);
    find(library, "cublasLtMatrixLayoutDestroy", layout_destroy);
    find(library, "cublasLtMatmulPreferenceCreate", preference_create);
    find(library, "cublasLtMatmulPreferenceDestroy", preference_destroy);
    find(library, "cublasLtMatmulPreferenceSetAttribute", preference_set);
    find(library, "cublasLtMatmulAlgoGetHeuristic", offer);
    find(library, "cublasLtMatmulAlgoConfigGetAttribute", algorithm_get);
    find(library, "cublasLtMatmul", multiply);
    check(create(&handle), "cublasLtCreate");
  }
  ~CublasLt() { destroy(handle); }
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  void check(cublasStatus_t status, const char* call) const {
    if (status != CUBLAS_STATUS_SUCCESS) throw Error(ErrorId::device_failure, fmt::format("{}: {}", call, status_string(status)));
  }
};

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::fp16:
      return CUDA_R_16F;
    default:
      return CUDA_R_32F;
  }
}

struct Layout {
  DType dtype;
  int64_t rows, columns;  // of a matrix whose columns are dense
};

// out = op(a) op(b). A row-major matrix is the transpose of a column-major one, so what is computed is the transpose of the product.
struct Factors {
  size_t a, b;  // which tensors
  cublasOperation_t a_as, b_as;
  Layout a_layout, b_layout, out_layout;
};
Factors factors_of(const MatrixProduct& product) {
  const LinearShape& shape = product.shape;
  const Layout x = {product.types.x, shape.c, shape.n}, w = {product.types.w, shape.c, shape.k}, y = {product.types.y, shape.k, shape.n};
  switch (product.pass) {
    case MatrixProduct::Pass::forward:
      return {1, 0, CUBLAS_OP_T, CUBLAS_OP_N, w, x, y};
    case MatrixProduct::Pass::backward_data:
      return {1, 0, CUBLAS_OP_N, CUBLAS_OP_N, w, y, x};
    case MatrixProduct::Pass::backward_filter:
      break;
  }
  return {0, 1, CUBLAS_OP_N, CUBLAS_OP_T, x, y, w};
}

// The descriptors of one product.
class Description {
 public:
  Description(std::shared_ptr<CublasLt> library, const MatrixProduct& product)
      : library_(std::move(library)), factors_(factors_of(product)), beta_(product.into == Into::add ? 1.0F : 0.0F) {
    const bool rounds = product.types.x == DType::f32 && product.types.products == Products::tf32;
    try {
      library_->check(library_->operation_create(&operation_, rounds ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
                      "cublasLtMatmulDescCreate");
      set(CUBLASLT_MATMUL_DESC_TRANSA, factors_.a_as);
      set(CUBLASLT_MATMUL_DESC_TRANSB, factors_.b_as);
      create(a_, factors_.a_layout);
      create(b_, factors_.b_layout);
      create(out_, factors_.out_layout);
    } catch (...) {
      destroy();
      throw;
    }
  }
  ~Description() { destroy(); }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;

  std::vector<cublasLtMatmulHeuristicResult_t> offered() const {
    cublasLtMatmulPreference_t preference = nullptr;
    library_->check(library_->preference_create(&preference), "cublasLtMatmulPreferenceCreate");
    const uint64_t bytes = product_workspace;
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    library_->preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
    library_->preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions);
    std::vector<cublasLtMatmulHeuristicResult_t> results(most_offered);
    int count = 0;
    const cublasStatus_t status =
        library_->offer(library_->handle, operation_, a_, b_, out_, out_, preference, most_offered, results.data(), &count);
    library_->preference_destroy(preference);
    results.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<size_t>(count) : 0);
    std::erase_if(results, [](const cublasLtMatmulHeuristicResult_t& result) { return result.state != CUBLAS_STATUS_SUCCESS; });
    return results;
  }

  // "cuBLASLt algorithm 66, k1=20 k2=1", with the numbers that it gives to algorithms and their settings.
  std::string name_of(const cublasLtMatmulAlgo_t& algorithm) const {
    std::string name;
    for (const cublasLtMatmulAlgoConfigAttributes_t attribute :
         {CUBLASLT_ALGO_CONFIG_ID, CUBLASLT_ALGO_CONFIG_TILE_ID, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
          CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, CUBLASLT_ALGO_CONFIG_STAGES_ID,
          CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID}) {
      int32_t value = 0;  // of 16 or 32 bits
      const bool is_short = attribute == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID || attribute == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID;
      size_t written = 0;
      library_->check(library_->algorithm_get(&algorithm, attribute, &value, is_short ? sizeof(int16_t) : sizeof(int32_t), &written),
                      "cublasLtMatmulAlgoConfigGetAttribute");
      if (attribute == CUBLASLT_ALGO_CONFIG_ID)
        name = fmt::format("cuBLASLt algorithm {},", value);
      else
        name += fmt::format(" k{}={}", static_cast<int>(attribute), value);
    }
    return name;
  }

  void multiply(std::span<void* const> tensors, const cublasLtMatmulAlgo_t& algorithm, void* workspace, Stream& stream) const {
    const float one = 1;
    void* out = tensors[2];
    library_->check(library_->multiply(library_->handle, operation_, &one, tensors[factors_.a], a_, tensors[factors_.b], b_, &beta_, out,
                                       out_, out, out_, &algorithm, workspace, product_workspace, handle_of(stream)),
                    "cublasLtMatmul");
  }

 private:
  void set(cublasLtMatmulDescAttributes_t attribute, int32_t value) {
    library_->check(library_->operation_set(operation_, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }
  void create(cublasLtMatrixLayout_t& layout, const Layout& like) {
    library_->check(library_->layout_create(&layout, type_of(like.dtype), static_cast<uint64_t>(like.rows),
                                            static_cast<uint64_t>(like.columns), like.rows),
                    "cublasLtMatrixLayoutCreate");
  }
  void destroy() {
    for (const cublasLtMatrixLayout_t layout : {a_, b_, out_})
      if (layout != nullptr) library_->layout_destroy(layout);
    if (operation_ != nullptr) library_->operation_destroy(operation_);
  }

  std::shared_ptr<CublasLt> library_;
  Factors factors_;
  float beta_;
  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, out_ = nullptr;
};

class BoundProduct final : public BoundEngine {
 public:
  BoundProduct(std::shared_ptr<Description> description, const cublasLtMatmulAlgo_t& algorithm, std::span<void* const> tensors,
               void* workspace)
      : description_(std::move(description)), algorithm_(algorithm), tensors_(tensors.begin(), tensors.end()), workspace_(workspace) {}
  void run(Stream& stream) override { description_->multiply(tensors_, algorithm_, workspace_, stream); }

 private:
  std::shared_ptr<Description> description_;
  cublasLtMatmulAlgo_t algorithm_;
  std::vector<void*> tensors_;
  void* workspace_;
};

class ProductEngine final : public Engine {
 public:
  ProductEngine(std::shared_ptr<Description> description, const cublasLtMatmulHeuristicResult_t& result)
      : description_(std::move(description)), result_(result) {}
  size_t workspace_bytes() const override { return product_workspace; }
  std::unique_ptr<BoundEngine> bind(std::span<void* const> tensors, void* workspace) override {
    return std::make_unique<BoundProduct>(description_, result_.algo, tensors, workspace);
  }

 private:
  std::shared_ptr<Description> description_;
  cublasLtMatmulHeuristicResult_t result_;
};

class ProductOffer final : public Offer {
 public:
  ProductOffer(std::shared_ptr<CublasLt> library, const MatrixProduct& product)
      : description_(std::make_shared<Description>(std::move(library), product)), results_(description_->offered()) {}
  size_t size() const override { return results_.size(); }
  std::string name(size_t i) const override { return description_->name_of(results_[i].algo); }
  std::shared_ptr<Engine> build(size_t i) override { return std::make_shared<ProductEngine>(description_, results_[i]); }

 private:
  std::shared_ptr<Description> description_;
  std::vector<cublasLtMatmulHeuristicResult_t> results_;
};

class OpenLibrary final : public ProductLibrary {
 public:
  std::unique_ptr<Offer> offer(const MatrixProduct& product) override { return std::make_unique<ProductOffer>(library_, product); }

 private:
  std::shared_ptr<CublasLt> library_ = std::make_shared<CublasLt>();
};

}  // namespace

std::shared_ptr<ProductLibrary> open_products() { return std::make_shared<OpenLibrary>(); }

}  // namespace fovea::cudnn
