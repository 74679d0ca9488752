// The masks from which mask learning starts.
#pragma once

#include "twofour/checkpoint/safetensors.h"
#include "twofour/kernels/soft_mask/candidates.h"
#include "twofour/learn/options.h"

namespace twofour::learn {

/// Prunes the dense model by options.prior.method on the training data, masks only, with the inputs
/// of the dense model, as for the published priors. RUN/prior keeps masks.safetensors and
/// prune.json; if they are there already, with the same settings, they are taken. An interrupted
/// run goes on where it was. Throws Error as prune::prune does.
checkpoint::NamedTensors pruned_prior(const LearnOptions& options);

/// Throws Error (usage) unless `mask` (packed, of a weight [rows, columns]) is N:M: names `prior`,
/// `layer`, and the row and column of the first group that is not.
void check_prior_mask(const at::Tensor& mask, int64_t rows, int64_t columns,
                      const kernels::Candidates& candidates, const std::string& layer,
                      const std::string& prior);

/// logits [.., candidates] (float32) += (<M, S_k> - kept² / group) · strength · std(logits), with M
/// the packed `mask`, which is N:M (MaskLLM, section 3.4).
void add_prior_mask(at::Tensor& logits, const at::Tensor& mask,
                    const kernels::Candidates& candidates, double strength);

}  // namespace twofour::learn
