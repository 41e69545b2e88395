// Memory for one operator case on its device, with values that can be: labels in range, places of a maximum inside the image, second
// moments above 0.
#pragma once

#include <memory>
#include <vector>

#include "fovea/backend/backend.h"
#include "fovea/study/op_cases.h"

namespace fovea::study {

class CaseBuffers {
 public:
  // `kernel` was made for the case and may wish layouts; floats are random.
  CaseBuffers(Backend& backend, const OpCase& op_case, const Kernel& kernel, Stream& stream);

  const Buffers& buffers() const { return buffers_; }
  int64_t bytes() const;

 private:
  std::vector<std::unique_ptr<Memory>> memory_;
  Buffers buffers_;
};

}  // namespace fovea::study
