// A convolution that leaves the moments of its outputs, part by part, in the workspace, and their mean and variance.
#pragma once

#include <optional>
#include <span>
#include <utility>

#include "fovea/backend/cuda/tensor_product.h"

namespace fovea::cuda {

class ConvolutionAndMoments {
 public:
  ConvolutionAndMoments(MomentsOfTiles tiles, const BatchNormForward& norm)
      : convolution_(std::move(tiles.kernel)), deal_(tiles.deal), norm_(norm) {}

  std::string algorithm() const { return convolution_->algorithm() + ", moments of " + std::to_string(deal_.parts) + " parts"; }
  size_t workspace_bytes() const { return bytes_of_parts(deal_, norm_.c); }
  // in: x w   out: y of the norm, mean variance, y of the convolution
  void bind(std::span<const Tensor> in, std::span<const Tensor> out, void* workspace) {
    workspace_ = workspace;
    const Tensor moments = {workspace, DType::f32, {deal_.parts, 2, norm_.c}};
    convolution_->bind({{in[0], in[1]}, {out[3], moments}}, nullptr);
    of_norm_ = {{out[3]}, {out[0], out[1], out[2]}};
  }
  void run(Stream& stream) {
    convolution_->run(stream);
    const Launch launch = {handle_of(stream), workspace_};
    launch_merge_moments(deal_, static_cast<int>(norm_.c), launch.floats(), of_norm_, launch);
  }
  const BatchNormForward& norm() const { return norm_; }
  const Buffers& of_norm() const { return of_norm_; }

 private:
  KernelPtr convolution_;
  Deal deal_;
  BatchNormForward norm_;
  Buffers of_norm_;  // in: what is normalised   out: y mean variance
  void* workspace_ = nullptr;
};

// No value where the convolution does not leave them.
inline std::optional<ConvolutionAndMoments> convolution_and_moments(const Conv2dForward& conv2d, const BatchNormForward& norm) {
  MomentsOfTiles tiles = on_tensor_cores_with_moments(conv2d);
  if (tiles.kernel == nullptr) return std::nullopt;
  require_countable(norm, tiles.deal.parts * 2 * norm.c);
  return ConvolutionAndMoments(std::move(tiles), norm);
}

}  // namespace fovea::cuda
