// Convolutions as operation graphs of cuDNN. All of cuDNN and of cudnn-frontend is behind this.
#pragma once

#include <memory>
#include <string>

#include "fovea/backend/cudnn/engine.h"

namespace fovea::cudnn {

struct Convolution {
  enum class Pass : uint8_t { forward, backward_data, backward_filter } pass = Pass::forward;
  enum class Tail : uint8_t { nothing, bias };
  Conv2dShape shape;
  Types types;
  Into into = Into::overwrite;  // of the gradients
  Tail tail = Tail::nothing;    // of forward

  explicit Convolution(const Conv2dForward& op, Tail tail = Tail::nothing) : shape(op.shape), types(op.types), tail(tail) {}
  explicit Convolution(const Conv2dBackwardData& op) : pass(Pass::backward_data), shape(op.shape), types(op.types), into(op.into) {}
  explicit Convolution(const Conv2dBackwardFilter& op) : pass(Pass::backward_filter), shape(op.shape), types(op.types), into(op.into) {}

  Problem problem() const;  // x w [b] y, or dy w dx, or x dy dw
};

// Types of one of the precisions, in all of which sums are f32; everything can be counted in 31 bits; as much padding behind an image as
// before it.
bool is_within_reach(const Conv2dShape& shape, const Types& types);
Conv2dShape images_of_one_pixel(const LinearShape& shape);  // a linear layer as a convolution
std::string precision_of(const Types& types);               // "tf32"

// cuDNN, opened, with its handle on the device.
class Graphs {
 public:
  virtual ~Graphs() = default;
  virtual std::string version() const = 0;  // "9.19.0"
  // Only engines that give the same bits at every run and multiply what they are given: no transforms (Winograd, FFT), no sums in less than
  // f32, and f32 rounded to TF32 only where the types say so. Only those whose kernels cuDNN brings: to compile one takes seconds. So there
  // are none for the filters' gradient in f32 of values of 16 bits, nor for a bias in f32 added to them.
  virtual std::unique_ptr<Offer> offer(const Convolution& convolution) = 0;
};
std::shared_ptr<Graphs> open_graphs();

}  // namespace fovea::cudnn
