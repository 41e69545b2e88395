// The gradient of a convolution's input: a correlation; or, where that would multiply many zeros (images hardly larger than the window,
// channels fewer than a vector), products of dy and the filter that are added where they belong.
#pragma once

#include <string>

#include "fovea/backend/eigen/images.h"
#include "fovea/backend/openmp/blocks.h"
#include "fovea/backend/openmp/correlation.h"

namespace fovea::openmp {

class DataGradient {
 public:
  explicit DataGradient(const Conv2dShape& shape);

  std::string algorithm() const;
  int64_t packed_floats() const;                       // what `prepare` makes of the filter
  int64_t scratch_floats() const { return of_task_; }  // of a task of `run`
  int64_t scratch_floats(int64_t images) const;        // of run_images

  struct Memory {
    const float* dy = nullptr;  // from image `first_of_dy` on
    const float* w = nullptr;
    float* packed = nullptr;
    float* scratch = nullptr;
    float* dx = nullptr;  // of the batch
    int64_t first_of_dy = 0;
  };
  void prepare(int threads, const Memory& memory) const;
  void run_images(const eigen::Images& images, const Memory& memory, Into into) const;
  void run(int threads, const Memory& memory, Into into) const;  // all of it, in parallel, with scratch memory of each thread

 private:
  void scatter(const eigen::Images& images, const Memory& memory, Into into) const;

  Conv2dShape shape_;
  Correlation correlation_;
  Blocks blocks_;
  bool scatters_ = false;
  int64_t images_at_a_time_ = 1, of_task_ = 0;
};

}  // namespace fovea::openmp
