// What oneDNN itself takes for whole layers on all its threads, in the layouts that it likes best: the yardstick of the backend `onednn`.
// Reads problems of convolutions as benchdnn writes them, one a line, and prints microseconds of the median run, the implementation and the
// problem.
//   onednn_layers THREADS f32|bf16 SECONDS < problems
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <dnnl.hpp>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using dnnl::algorithm;
using dnnl::memory;

const dnnl::engine& engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// "mb16ic3ih224...": numbers by the letters in front of them.
std::map<std::string, int64_t> numbers_of(const std::string& problem) {
  std::map<std::string, int64_t> numbers;
  const std::regex one("([a-z]+)([0-9]+)");
  for (std::sregex_iterator i(problem.begin(), problem.end(), one), end; i != end; ++i) numbers[(*i)[1]] = std::stoll((*i)[2]);
  return numbers;
}

template <class Made, class... Hint, class... Wish>
auto described(const std::tuple<Hint...>& hint, const Wish&... wish) {
#if DNNL_VERSION_MAJOR < 3
  const typename Made::desc wished(wish...);
  return std::apply([&](const auto&... h) { return typename Made::primitive_desc(wished, engine(), h...); }, hint);
#else
  return std::apply([&](const auto&... h) { return typename Made::primitive_desc(engine(), wish..., h...); }, hint);
#endif
}

// Of one run, the median of runs that take so many seconds together.
double microseconds(const dnnl::primitive& made, const dnnl::primitive_desc_base& description, double seconds) {
  dnnl::stream stream(engine());
  std::unordered_map<int, memory> arguments;
  for (const int argument : {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_DIFF_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}) {
    const memory::desc desc = description.query_md(dnnl::query::exec_arg_md, argument);
    if (desc.get_size() == 0) continue;
    memory& made_memory = arguments[argument] = memory(desc, engine());
    std::fill_n(static_cast<uint16_t*>(made_memory.get_data_handle()), desc.get_size() / 2, uint16_t{0x3C00});
  }
  std::vector<double> times;
  made.execute(stream, arguments);
  for (double sum = 0; sum < seconds || times.size() < 3; sum += times.back()) {
    const auto begin = std::chrono::steady_clock::now();
    made.execute(stream, arguments);
    stream.wait();
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return 1e6 * times[times.size() / 2];
}

template <class Made, class Description>
void measure(const Description& description, double seconds, const std::string& problem) {
  std::cout << microseconds(Made(description), description, seconds) << " " << description.impl_info_str() << " " << problem << std::endl;
}

void measure_conv2d(const std::string& problem, memory::data_type type, double seconds) {
  std::map<std::string, int64_t> n = numbers_of(problem.substr(problem.rfind(' ') + 1));
  const auto any = memory::format_tag::any;
  const memory::desc x({n["mb"], n["ic"], n["ih"], n["iw"]}, type, any), y({n["mb"], n["oc"], n["oh"], n["ow"]}, type, any);
  const memory::dims filter = {n["oc"], n["ic"], n["kh"], n["kw"]}, strides = {n["sh"], n["sw"]}, dilations = {n["dh"], n["dw"]};
  const memory::desc w(filter, type, any), dw(filter, memory::data_type::f32, any);
  const auto behind = [&](const char* size, const char* out, const char* stride, const char* kernel, const char* pad,
                          const char* dilation) {
    return (n[out] - 1) * n[stride] + (n[kernel] - 1) * (n[dilation] + 1) + 1 - n[size] - n[pad];
  };
  const memory::dims before = {n["ph"], n["pw"]},
                     after = {behind("ih", "oh", "sh", "kh", "ph", "dh"), behind("iw", "ow", "sw", "kw", "pw", "dw")};
  const auto direct = algorithm::convolution_direct;
  const auto forward = described<dnnl::convolution_forward>(std::tuple(), dnnl::prop_kind::forward_training, direct, x, w, y, strides,
                                                            dilations, before, after);
  if (problem.find("BWD_D ") != std::string::npos)
    measure<dnnl::convolution_backward_data>(
        described<dnnl::convolution_backward_data>(std::tuple(forward), direct, x, w, y, strides, dilations, before, after), seconds,
        problem);
  else if (problem.find("BWD_W ") != std::string::npos)
    measure<dnnl::convolution_backward_weights>(
        described<dnnl::convolution_backward_weights>(std::tuple(forward), direct, x, dw, y, strides, dilations, before, after), seconds,
        problem);
  else
    measure<dnnl::convolution_forward>(forward, seconds, problem);
}

}  // namespace

int main(int count, char** values) {
  if (count != 4) {
    std::cerr << "usage: onednn_layers THREADS f32|bf16 SECONDS < problems\n";
    return 2;
  }
  omp_set_num_threads(std::stoi(values[1]));
  const memory::data_type type = std::string(values[2]) == "bf16" ? memory::data_type::bf16 : memory::data_type::f32;
  for (std::string problem; std::getline(std::cin, problem);)
    if (problem.starts_with("--conv")) measure_conv2d(problem, type, std::stod(values[3]));
}
