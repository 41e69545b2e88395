// Prints the speed of operators as a table, row by row as they come, and keeps a record of each.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <tuple>

#include "fovea/study/machine.h"
#include "fovea/study/network_cases.h"
#include "fovea/study/op_bench.h"

namespace fovea::cli {

class OpTable {
 public:
  OpTable(std::span<const study::NetworkCase> cases, std::string json);  // "": no records

  study::Machine& machine_of(Backend& backend);  // one for each device
  void add(const study::NetworkCase& one, Backend& backend, const study::OpSpeed& speed);
  void finish();  // the roofs that were measured

 private:
  void print_row(const study::NetworkCase& one, Backend& backend, const study::OpSpeed& speed);
  void record(const study::NetworkCase& one, Backend& backend, const study::OpSpeed& speed);

  std::string json_;
  int name_width_;
  std::map<std::string, study::Machine> machines_;                  // by device
  std::set<std::tuple<std::string, int, std::string_view>> roofs_;  // device, threads and precision that were held against them
};

}  // namespace fovea::cli
