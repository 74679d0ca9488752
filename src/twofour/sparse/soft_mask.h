// A linear layer whose mask is learned: z = x W̃ᵀ + b with W̃ = W ⊙ soft mask of the logits
// (kernels/soft_mask/soft_mask.h). Only the logits and their gradient cost memory beside W: the
// noise is drawn again in backward, and one layer's W̃ exists at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include <ATen/core/Tensor.h>

#include "twofour/base/random.h"
#include "twofour/kernels/soft_mask/soft_mask.h"

namespace twofour::sparse {

struct Linear;

/// The state of one layer, shared by copies of its model.
struct SoftMask {
  SoftMask(kernels::Candidates of_group, at::Tensor values)
      : candidates(std::move(of_group)), logits(std::move(values)) {}

  kernels::Candidates candidates;
  at::Tensor logits;  ///< [out, in / M, C], float32 or bfloat16
  /// Set before each pass; a pass and its backward need the same values. options.gumbel stays null.
  kernels::SoftMaskOptions options;
  /// Of the loss - regularisation · Σ W̃², times the factor of this backward pass (a loss scale, the
  /// share of a micro-batch).
  double regularisation = 0;
  /// Σ W̃² of the last forward pass with options.choice' mask; a second forward pass of the same
  /// step, as activation recomputation makes, gives the same.
  double squares = 0;

  int64_t groups() const { return logits.numel() / candidates.count(); }
};

/// How a layer uses its SoftMask.
enum class MaskUse {
  kLearn,    ///< the noisy soft (or hard) mask, with gradients to the logits
  kEvaluate  ///< the likeliest mask, without noise
};

/// z [tokens, out] of x [tokens, in] for a layer with a soft_mask. kLearn: backward adds dlogits in
/// float32 to logits.grad() and, if the weight requires gradients, dW to weight.grad(), both of
/// which must exist, and the bias likewise. The weight may be float32 and x 16-bit: W̃ has x's
/// dtype.
at::Tensor soft_masked_linear(const at::Tensor& x, const Linear& layer);

/// W ⊙ the likeliest mask [out, in] in W's dtype, and that mask, packed as everywhere (uint8, 8
/// entries a byte, most significant bit first).
at::Tensor best_masked_weight(const at::Tensor& weight, const SoftMask& soft_mask);
at::Tensor best_mask(const SoftMask& soft_mask);

}  // namespace twofour::sparse
