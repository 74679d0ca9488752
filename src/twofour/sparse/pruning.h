// One-shot pruning of one linear layer: scores, masks, and weights for a mask. W [out, in] is the
// dense weight, X [tokens, in] its calibration inputs, G = XᵀX their Gram matrix [in, in] (the
// Hessian of the layer's error up to a factor, which no function here depends on). All arithmetic
// is float32; matrices of other floating-point dtypes are converted. Masks are bool [out, in],
// true = kept. Every function works row by row, with bits that are independent of the number of
// threads, and throws Error for sizes that do not fit.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

namespace twofour::sparse {

/// Which entries of a weight stay: `kept` of every `group` consecutive entries of a row, or, if
/// group is 0, all but a share `sparsity` of a larger set.
struct Pattern {
  int64_t kept = 2, group = 4;
  double sparsity = 0;

  bool is_structured() const { return group != 0; }
  /// "2:4", or "50 %".
  std::string text() const;
  bool operator==(const Pattern&) const = default;
};

/// Throws Error (usage) unless 0 < kept < group <= 8, or group = 0 and 0 < sparsity < 1.
void check(const Pattern& pattern);

/// Throws Error also if a row of `columns` entries cannot be divided into groups.
void check_fits(const Pattern& pattern, int64_t columns);

/// Among how many entries an unstructured mask keeps its share.
enum class Share { kRow, kMatrix };

/// The mask that keeps the largest of `scores` [out, in] (float32): the later of equals, NaN above
/// infinity, as kernels/masks/mask.h. Unstructured: all but floor(sparsity · entries) of each row,
/// or of the whole matrix.
at::Tensor mask_of_scores(const at::Tensor& scores, const Pattern& pattern, Share share);

/// |W_ij| ‖X_j‖₂ (Wanda, arXiv 2306.11695, section 3); input_norm [in] = ‖X_j‖₂.
at::Tensor wanda_scores(const at::Tensor& weight, const at::Tensor& input_norm);

/// (|W_ij| / Σ_i |W_ij| + |W_ij| / Σ_j |W_ij|) (‖X_j‖₂)^power (RIA, ICLR 2024, section 3); a row or
/// column of zeros counts as 0.
at::Tensor ria_scores(const at::Tensor& weight, const at::Tensor& input_norm, double power = 0.5);

/// The factor that SparseGPT and the weights for a mask need: upper triangular R with
/// H + λ I = R Rᵀ, so that U = R⁻¹ is the upper Cholesky factor of (H + λ I)⁻¹, which the paper
/// uses. λ = damping · mean(diag H). A dead input (H_jj = 0) gets H_jj = 1 first. If the
/// factorisation fails, it is repeated with ten times the damping (at first at least 1e-6), with a
/// warning that begins with `name`. Throws Error if H is not finite, or has a negative diagonal
/// entry.
struct HessianFactor {
  at::Tensor r;        ///< [in, in], float32
  at::Tensor is_dead;  ///< bool [in]
  double damping;      ///< the one that succeeded
};
HessianFactor factor_hessian(const at::Tensor& hessian, double damping, const std::string& name);

/// SparseGPT's static scores, w² / U_jj² (arXiv 2301.00774, section 3.3): 0 for dead inputs.
at::Tensor sparsegpt_scores(const at::Tensor& weight, const HessianFactor& factor);

/// The mask that keeps the largest of those scores: SparseGPT's without any update. Unstructured:
/// of every `block` columns among all their entries, and as in the published code a score that is
/// equal to the limit goes, so one more than floor(sparsity · entries).
at::Tensor sparsegpt_mask(const at::Tensor& weight, const HessianFactor& factor,
                          const Pattern& pattern, int64_t block = 128);

struct PrunedWeight {
  at::Tensor weight;  ///< [out, in], float32, 0 where not kept
  at::Tensor mask;
};

/// SparseGPT's column loop (arXiv 2301.00774, algorithm 1): chooses the mask at the start of every
/// group (unstructured: of every `block` columns, among all their entries) by w² / U_jj² of the
/// updated weights, and moves the error of each removed entry to the later columns. A `mask` that
/// is given is kept, and only the weights are updated. Dead inputs get weight 0.
PrunedWeight sparsegpt(const at::Tensor& weight, const HessianFactor& factor,
                       const Pattern& pattern, int64_t block = 128, const at::Tensor& mask = {});

/// ‖X (W - Ŵ)ᵀ‖² for each row: [out], float64, from G. Never negative.
at::Tensor row_errors(const at::Tensor& difference, const at::Tensor& gram);

/// The mask after exact swaps of one kept and one removed entry inside a group, the best first,
/// until none lowers the row's error ‖X (w - w ⊙ m)ᵀ‖² or `most_swaps` of a row are made (0: no
/// limit) (SparseSwaps, arXiv 2512.10922). The error never rises. Structured patterns only.
at::Tensor swap_mask(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& gram,
                     const Pattern& pattern, int64_t most_swaps = 0);

/// The weights Ŵ with zeros outside `mask` of least ‖X (W - Ŵ)ᵀ‖², by ADMM with one factorisation
/// (arXiv 2401.02938): inputs scaled to unit norm, ρ = 1. The result has W's scale. A row whose
/// error would rise keeps `start` (W ⊙ mask if undefined).
at::Tensor reweight_admm(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& gram,
                         double damping = 0.01, int64_t iterations = 20,
                         const at::Tensor& start = {});

/// The same exactly: one linear system of the kept inputs for each row, damped alike. Slow. A row
/// whose system is singular keeps W ⊙ mask.
at::Tensor reweight_exact(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& gram,
                          double damping = 0.01);

}  // namespace twofour::sparse
