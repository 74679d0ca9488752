// A feed-forward block as in training: sparse::linear with the forward weights and masks that
// train/sparse_weights.cc makes from float32 masters once per step.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/sparse/linear24.h"

namespace twofour::cli {

/// kGelu: down(gelu(up x)), GPT-2. kSwiglu: down(silu(gate x) * up x), LLaMA, without biases.
enum class BlockActivation { kGelu, kSwiglu };

/// kFst: transposable masks and MVUE (arXiv 2404.01847). kSSte: soft threshold and MVUE (arXiv
/// 2409.09099).
enum class BlockMethod { kDense, kSSte, kFst };

struct BlockLayer {
  sparse::Linear linear;
  at::Tensor mask;   ///< bits (sparse/masks.h); undefined for kDense
  double scale = 1;  ///< kSSte: β
};

struct Block {
  BlockMethod method;
  BlockActivation activation;
  std::vector<BlockLayer> layers;  ///< kGelu: up, down. kSwiglu: gate, up, down.

  Block(BlockMethod method, BlockActivation activation, int64_t width, int64_t feed_forward,
        at::ScalarType dtype);

  /// The work after an optimiser step: W̃ of every layer, and biases in its dtype. Panels are made
  /// when next needed.
  void refresh();

  /// FST, every 40 steps: the transposable masks of the masters.
  void search_masks();

  /// FST, after every backward pass: adds the decay of the masked-out weights to the gradients.
  void decay_gradients();

  at::Tensor forward(const at::Tensor& x) const;

  /// The activation alone: gelu(first), or silu(first) * up.
  at::Tensor activate(const at::Tensor& first, const at::Tensor& up) const;
};

}  // namespace twofour::cli
