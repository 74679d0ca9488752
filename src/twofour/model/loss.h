// The language-model loss, fused with the output matrix so that the logits of all tokens never
// exist at once.
#pragma once

#include <cstdint>
#include <span>

#include <ATen/core/Tensor.h>

namespace twofour::model {

/// The matrix [V, D] that turns hidden states into logits, and its copy in the compute dtype
/// (undefined = the master).
struct OutputMatrix {
  at::Tensor weight, forward_weight;

  const at::Tensor& used() const { return forward_weight.defined() ? forward_weight : weight; }
};

/// hidden [N, D] times the output matrix: logits [N, V] in the compute dtype.
at::Tensor logits_of(const OutputMatrix& output, const at::Tensor& hidden);

/// The mean of -log p(target) over hidden [N, D] and targets [N] (ids in the vocabulary), in nats,
/// as a float64 scalar.
///
/// With gradients enabled, the logits' gradient, already divided by N and times `gradient_scale`,
/// is pushed through the output matrix at once: its gradient is added to in place, and backward
/// hands out the one of `hidden`. backward must start from this scalar itself (its own gradient is
/// taken as one). At most half of the rows, and about 128 MB of logits, exist at a time.
at::Tensor next_token_loss(const OutputMatrix& output, const at::Tensor& hidden,
                           std::span<const int64_t> targets, double gradient_scale);

/// -log p(target) of each row, [N] float32, without gradients.
at::Tensor next_token_nll(const OutputMatrix& output, const at::Tensor& hidden,
                          std::span<const int64_t> targets);

}  // namespace twofour::model
