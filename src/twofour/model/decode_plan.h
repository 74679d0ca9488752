// A model in the form of the decode step (decode_step.h): weights and sizes in the order in which
// one token uses them. A plan can describe every architecture; their differences are data. B
// sequences, D width, H query heads, G heads of keys and values, d width of a head, F feed-forward
// width, V vocabulary.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/model/sizes.h"
#include "twofour/sparse/linear24.h"

namespace twofour::model {

enum class NormKind { kLayerNorm, kRmsNorm };

/// kGelu is the tanh form (gelu_new), kExactGelu uses the error function.
enum class DecodeActivation { kGelu, kExactGelu, kRelu, kSiluTimes };

struct DecodeNorm {
  at::Tensor weight;  ///< [D]
  at::Tensor bias;    ///< [D], only for kLayerNorm
};

/// A linear layer in the compute dtype: `weight`, or `packed` if that is undefined. Neither is set
/// for simulated FP8 products, which the decode step cannot run.
struct DecodeLinear {
  at::Tensor weight;  ///< [out, in]
  sparse::Packed packed;
  at::Tensor bias;  ///< [out], or undefined

  const at::Tensor& values() const { return weight.defined() ? weight : packed.values; }
  int64_t outputs() const { return values().size(0); }
};

struct DecodeBlock {
  DecodeNorm attention_norm;
  /// Their concatenated outputs are the queries [H d], the keys [G d] and the values [G d].
  std::vector<DecodeLinear> attention_in;
  /// [d], RMS norms of each head before its rotation, or undefined.
  at::Tensor query_norm = {}, key_norm = {};
  DecodeLinear attention_out;
  DecodeNorm feed_forward_norm;
  /// Their concatenated outputs are the activation's input: [F], or for kSiluTimes the gate [F] and
  /// its factor [F].
  std::vector<DecodeLinear> feed_forward_in;
  DecodeLinear feed_forward_out;
};

struct DecodePlan {
  int64_t context = 0, heads = 0, key_value_heads = 0, head_width = 0, feed_forward = 0;
  NormKind norm = NormKind::kLayerNorm;
  double norm_epsilon = 0;
  DecodeActivation activation = DecodeActivation::kGelu;
  bool has_parallel_residual = false;  ///< both halves of a block read the same x
  /// attention_in's output has each head's query, key and value side by side, [H, 3, d].
  bool has_heads_side_by_side = false;

  at::Tensor tokens;     ///< the embedding [V, D], in the compute dtype
  at::Tensor positions;  ///< position embedding [context, D], or undefined
  /// For the first r <= d values of queries and keys [r / 2], float32, or undefined.
  at::Tensor rotary_frequencies;
  std::vector<DecodeBlock> blocks;
  DecodeNorm last_norm;
  at::Tensor output;  ///< [V, D], in the compute dtype

  /// Whether the decode step can run it: all operands are on the CPU and of one dtype, float32,
  /// bfloat16 or float16.
  bool is_runnable() const;
};

/// A plan with these sizes and no tensors. It is not runnable yet.
DecodePlan plan_for(const Sizes& sizes);

/// A layer with its forward weights; shares its tensors.
DecodeLinear decode_linear(const sparse::Linear& layer);

/// Converts the kernels' operands to the layout and type of the kernels. Norms become float32,
/// which holds every value of the other types. Tensors that fit stay shared.
void prepare(DecodePlan& plan);

}  // namespace twofour::model
