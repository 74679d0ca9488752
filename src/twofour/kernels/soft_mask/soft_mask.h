// Learned masks (MaskLLM, arXiv 2409.17481, section 3.3). A group of M weights has C logits π, one
// for each candidate mask. With Gumbel noise g and
//   y = softmax((κ π + g) / τ)        soft = Σ_k y_k S_k,  S_k the candidates,
// the forward weight is W̃ = W ⊙ soft. Matrices are [rows, columns], contiguous, columns a multiple
// of M; logits are [rows · columns / M, C]. Arithmetic is float32; results are independent of
// thread count and instruction set.
#pragma once

#include <cstdint>

#include "twofour/base/random.h"
#include "twofour/kernels/soft_mask/candidates.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// Where g comes from.
enum class Noise {
  kNone,   ///< g = 0
  kGiven,  ///< from memory
  kDrawn   ///< from the random stream: a function of it and of the group's number alone
};

/// How the logits become a mask.
enum class Choice {
  kSoft,  ///< the weighted sum
  kHard,  ///< the candidate with the largest y; gradients as for kSoft (straight through)
};

struct SoftMaskOptions {
  float kappa = 100.0f, tau = 4.0f;  ///< κ > 0 multiplies the logits, the temperature τ > 0 divides
  Choice choice = Choice::kSoft;
  Noise noise = Noise::kNone;
  const float* gumbel = nullptr;  ///< [groups, C], for kGiven
  RandomStream stream = {};       ///< for kDrawn
  int64_t first_group = 0;  ///< the first group's number in the stream: for a part of a matrix
};

/// soft [groups, M] of logits [groups, C]. L is float, bfloat16 or, here and in the gradient,
/// float16. Of equal largest y the first candidate wins. A group with a logit that is NaN or +∞
/// becomes NaN. Here and below: throws Error unless κ and τ are finite numbers above 0, columns are
/// a multiple of M, and the numbers of the groups' blocks of random numbers fit 32 bits.
template <class L>
void soft_mask(const L* logits, int64_t groups, const Candidates& candidates,
               const SoftMaskOptions& options, float* soft);

/// dlogits [groups, C] of dsoft [groups, M], with the same options and logits as the forward pass.
template <class L>
void soft_mask_gradient(const L* logits, const float* dsoft, int64_t groups,
                        const Candidates& candidates, const SoftMaskOptions& options,
                        float* dlogits);

/// out = W ⊙ soft. W is float, bfloat16 or float16, and so is T. Returns Σ (W ⊙ soft)² before
/// rounding to T, summed in double in a fixed order.
template <class L, class W, class T>
double soft_masked_weight(const L* logits, const W* weight, int64_t rows, int64_t columns,
                          const Candidates& candidates, const SoftMaskOptions& options, T* out);

/// The backward pass of a layer in one pass over its weights. From dW̃ [rows, columns] (float32),
/// the gradient of the loss with respect to W̃:
///   g = dW̃ - 2 · regularisation · W̃             (of the loss - regularisation · Σ W̃²)
///   dlogits += the gradient of y through soft of g ⊙ W
///   dweight += g ⊙ soft                           (null: the weights are frozen)
///   out = W̃ once more, for the input's gradient   (null: not needed)
template <class L, class W, class T>
void add_soft_mask_gradients(const L* logits, const W* weight, const float* dmasked, int64_t rows,
                             int64_t columns, const Candidates& candidates,
                             const SoftMaskOptions& options, double regularisation, float* dlogits,
                             float* dweight, T* out);

/// out = W where the candidate with the largest logit keeps it, else 0: the mask of evaluation.
template <class L, class W, class T>
void best_masked_weight(const L* logits, const W* weight, int64_t rows, int64_t columns,
                        const Candidates& candidates, T* out);

/// The winners as a mask: 1 byte an entry (1 = kept), `mask` [rows · columns].
template <class L>
void best_mask(const L* logits, int64_t groups, const Candidates& candidates, uint8_t* mask);

/// What is watched while masks are learned, of one layer.
struct LogitStatistics {
  double largest_probability = 0;  ///< Σ over groups of max softmax(κ π): the chance that the
                                   ///< likeliest candidate is drawn, which τ does not change
  double sum = 0, squares = 0;     ///< Σ π and Σ π²
  double kept_squares = 0;         ///< Σ W² of the entries that the winners keep
  int64_t histogram[20] = {};      ///< groups by that probability, in equal parts of [0, 1]
};
template <class L, class W>
LogitStatistics logit_statistics(const L* logits, const W* weight, int64_t rows, int64_t columns,
                                 const Candidates& candidates, float kappa);

/// logits += (<mask, S_k> - kept²/group) · strength for every group and candidate, with mask
/// [groups, group] (1 byte an entry): the prior (section 3.4 of the paper; 2:4's mean overlap of 1
/// generalised). `strength` is α times the deviation of the logits.
template <class L>
void add_prior(L* logits, const uint8_t* mask, int64_t groups, const Candidates& candidates,
               float strength);

}  // namespace twofour::kernels
