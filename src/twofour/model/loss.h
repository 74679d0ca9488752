// The language-model loss, fused with the output matrix so that the logits of all tokens never
// exist at the same time.
#pragma once

#include <cstdint>
#include <span>

#include <ATen/core/Tensor.h>

#include "twofour/model/table.h"

namespace twofour::model {

/// hidden [N, D] times the output matrix [V, D]: logits [N, V] in the compute dtype.
at::Tensor logits_of(const Table& output, const at::Tensor& hidden);

/// The teacher of a distilled loss (Hinton et al., arXiv 1503.02531): another model's output
/// matrix, its hidden states of the same tokens, and its share A of the loss.
struct Teacher {
  Table output;
  at::Tensor hidden;  ///< [N, the teacher's width]; undefined: no teacher
  double weight = 0;
};

/// The mean of -log p(target) over hidden [N, D] and targets [N] (ids in the vocabulary), in nats,
/// as a float64 scalar.
///
/// With gradients enabled, the logits' gradient, divided by N and times `gradient_scale`, is
/// propagated through the output matrix at once: the matrix's gradient is added in place, if it
/// requires one, and backward returns the gradient of `hidden`. backward must start from this
/// scalar itself (its own gradient is taken as one). At most half of the rows, and about 128 MB of
/// logits, exist at a time. With a teacher and gradients it is (1 - A) · that + A · KL(teacher ||
/// model), and as many logits of the teacher exist.
at::Tensor next_token_loss(const Table& output, const at::Tensor& hidden,
                           std::span<const int64_t> targets, double gradient_scale,
                           const Teacher& teacher = {});

/// -log p(target) of each row, [N] float32, without gradients.
at::Tensor next_token_nll(const Table& output, const at::Tensor& hidden,
                          std::span<const int64_t> targets);

}  // namespace twofour::model
