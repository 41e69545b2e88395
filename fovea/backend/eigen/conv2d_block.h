// A convolution fused with what surrounds it, a few images at a time, so that what lies between stays in the cache:
// forward with bias, rectifier and pooling, backward with the gradients of these.
#pragma once

#include <optional>

#include "fovea/backend/backend.h"
#include "fovea/backend/eigen/direct.h"

namespace fovea::eigen {

enum class Keep : uint8_t { no, yes };

struct Conv2dBlockForward {
  Conv2dShape shape;
  Rectify rectify = Rectify::no;
  std::optional<PoolShape> pool;
  Keep keep_y = Keep::yes;  // no: what is pooled is not written
};                          // in: x w b   out: y if kept, then with a pool its output, argmax (absent in evaluation)

struct Conv2dBlockBackward {
  Conv2dShape shape;
  std::optional<PoolShape> pool;
  Into db = Into::overwrite, dw = Into::overwrite;
  std::optional<Into> dx;
};  // in: dy, y of the rectifier or of the pool, argmax with a pool, x, w with dx   out: db dw, dx if wanted

KernelPtr make_kernel(const Conv2dBlockForward& block);
KernelPtr make_kernel(const Conv2dBlockBackward& block);

// Which of these blocks a backend takes as one step, and its kernels for them.
class Conv2dBlocks {
 public:
  virtual ~Conv2dBlocks() = default;
  virtual bool suits(const Conv2dBlockForward& block) const = 0;
  virtual bool suits(const Conv2dBlockBackward& block) const = 0;
  virtual KernelPtr make(const Conv2dBlockForward& block, const Limits& limits) const = 0;
  virtual KernelPtr make(const Conv2dBlockBackward& block, const Limits& limits) const = 0;
};

std::optional<Claim> claim_conv2d(const Neighbours& around, const Limits& limits, const Conv2dBlocks& blocks);

}  // namespace fovea::eigen
