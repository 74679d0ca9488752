// Prunes one linear layer by all options that concern a layer alone.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "twofour/prune/options.h"
#include "twofour/tensor/gram.h"

namespace twofour::prune {

struct LayerResult {
  std::string name;
  sparse::Pattern pattern;
  int64_t rows = 0, columns = 0;
  int64_t zeros = 0;            ///< entries that the mask removes
  std::optional<double> error;  ///< ‖X(W - Ŵ)ᵀ‖² / ‖XWᵀ‖²; none without calibration
  std::optional<double> damping;  ///< if a factorisation needed more than asked
  bool is_permuted = false;       ///< its inputs have another order than in the dense model
  int64_t swaps = 0;              ///< entries that swaps revived
  double seconds = 0;
};

/// ‖block(x) - target‖² / ‖target‖² of a block before and after its weights were trained.
struct Reconstruction {
  double before = 0, after = 0;
};

/// The score of every entry for the layer's mask, before any update: [out, in], float32. `gram` may
/// be null for magnitude.
at::Tensor layer_scores(const PruneOptions& options, const at::Tensor& weight,
                        tensor::GramSum* gram, const std::string& name);

struct LayerWeights {
  at::Tensor weight;  ///< [out, in], float32; the dense one if weights are untouched
  at::Tensor mask;    ///< bool
  LayerResult result;
};

/// Chooses the mask of the dense `weight` [out, in] and the weights for it. `gram`: of the layer's
/// calibration inputs, null without them. Throws Error with `name` if those are not finite.
LayerWeights prune_layer(const PruneOptions& options, const std::string& name,
                         const sparse::Pattern& pattern, const at::Tensor& weight,
                         tensor::GramSum* gram);

/// ‖X(W - Ŵ)ᵀ‖² / ‖XWᵀ‖²; 0 for a layer without output.
double relative_error(const at::Tensor& weight, const at::Tensor& pruned, const at::Tensor& gram);

}  // namespace twofour::prune
