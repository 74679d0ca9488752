// The language-model loss, fused with the output matrix so that the logits of all tokens never
// exist at once.
#pragma once

#include <cstdint>
#include <span>

#include <ATen/core/Tensor.h>

#include "twofour/model/gpt2.h"

namespace twofour::model {

/// The mean of -log p(target) over hidden [N, D] and targets [N] (ids in the vocabulary), in nats,
/// as a float64 scalar.
///
/// With gradients enabled, the logits' gradient, already divided by N and times `gradient_scale`,
/// is pushed through the output matrix at once: wte's gradient is added to in place, and backward
/// hands out the one of `hidden`. backward must start from this scalar itself (its own gradient is
/// taken as one). At most half of the rows, and about 128 MB of logits, exist at a time.
at::Tensor next_token_loss(const Gpt2& model, const at::Tensor& hidden,
                           std::span<const int64_t> targets, double gradient_scale);

/// -log p(target) of each row, [N] float32, without gradients.
at::Tensor next_token_nll(const Gpt2& model, const at::Tensor& hidden,
                          std::span<const int64_t> targets);

}  // namespace twofour::model
