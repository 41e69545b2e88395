// Runs one operator case on any backend: data by seed, guard bands around every buffer, poisoned outputs, a second run for the same bits.
#pragma once

#include <string>
#include <vector>

#include "fovea/backend/backend.h"
#include "fovea/graph/precision.h"
#include "fovea/study/op_cases.h"

namespace fovea::test {

// A tensor of host memory that owns its bytes.
struct Operand {
  graph::Type type;
  std::vector<std::byte> bytes;
};

enum class Fill { uniform, small_integer };  // floats in [-1, 1), or whole numbers from -3 to 3

struct CaseData {
  std::vector<Operand> in;
  std::vector<Operand> out;  // what stands in the outputs before the run
};

Operand make_operand(const graph::Type& type);  // zeros
template <class T>
Operand operand_of(const Shape& shape, const std::vector<T>& values);
std::vector<double> values_of(const Operand& operand);                 // as double; Metrics as its four members
void set_values(Operand& operand, const std::vector<double>& values);  // of floating-point numbers, rounded once
std::vector<double> rounded_to(DType dtype, std::vector<double> values);

CaseData make_data(const study::OpCase& op_case, Fill fill, uint64_t seed);
CaseData in_double(CaseData data);      // floating-point numbers become f64
CaseData without_signs(CaseData data);  // of floating-point numbers

inline constexpr Types all_double = {DType::f64, DType::f64, DType::f64, DType::f64};

// Makes, binds and runs, twice. Throws Error (internal) that names what a kernel must not do: touch a guard band or an input, give other
// bits the second time.
std::vector<Operand> run_case(Backend& backend, const Op& op, const CaseData& data, const Limits& limits = {});

// The reference in double on the same data.
std::vector<Operand> exact_result(const Op& op, const CaseData& data);

std::vector<std::string> backend_names();  // all, absent ones too

// A backend and a precision that it computes in; all of them, absent backends too.
struct Computes {
  std::string backend;
  graph::Precision precision;
};
std::vector<Computes> all_computes();
std::string name_of(const Computes& computes);  // "cuda", or "cuda_bf16"
bool is_on_gpu(std::string_view backend);
bool gpu_is_required();  // FOVEA_REQUIRE_GPU=1 in the environment

// nullptr, and why, where it is absent; where a GPU is required, the absence of `cuda` is an Error (device) instead.
std::unique_ptr<Backend> open_or_say_why_not(const std::string& name, std::string& absent_because);
std::vector<std::string> operator_names(const std::vector<study::OpCase>& cases);  // in the order of the table, each once
std::string test_name(std::string text);                                           // letters, digits and underscores only

template <class T>
Operand operand_of(const Shape& shape, const std::vector<T>& values) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
  return {{dtype_of<T>(), shape}, {bytes.begin(), bytes.end()}};
}

}  // namespace fovea::test
