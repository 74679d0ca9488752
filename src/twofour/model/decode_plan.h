// A model as the decode step (decode_step.h) reads it: weights and sizes in the order in which one
// token meets them. Every architecture describes itself by such a plan; what differs between them
// is data. B sequences, D width, H query heads, G heads of keys and values, d width of a head, F
// feed-forward width, V vocabulary.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/kernels/decode/token_rows.h"
#include "twofour/sparse/linear24.h"

namespace twofour::model {

enum class NormKind { kLayerNorm, kRmsNorm };

struct DecodeNorm {
  at::Tensor weight;  ///< [D]
  at::Tensor bias;    ///< [D], of kLayerNorm only
};

/// A linear layer in the compute dtype: `weight`, or `packed` where that is undefined; neither
/// where its products are simulated FP8, which the decode step cannot run.
struct DecodeLinear {
  at::Tensor weight;  ///< [out, in]
  sparse::Packed packed;
  at::Tensor bias;  ///< [out], or undefined

  const at::Tensor& values() const { return weight.defined() ? weight : packed.values; }
  int64_t outputs() const { return values().size(0); }
};

struct DecodeBlock {
  DecodeNorm attention_norm;
  /// Side by side, their outputs are the queries [H d], the keys [G d] and the values [G d].
  std::vector<DecodeLinear> attention_in;
  DecodeLinear attention_out;
  DecodeNorm feed_forward_norm;
  /// Side by side, their outputs are what the activation takes: [F], or of kSiluTimes the gate [F]
  /// and what it multiplies [F].
  std::vector<DecodeLinear> feed_forward_in;
  DecodeLinear feed_forward_out;
};

struct DecodePlan {
  int64_t context = 0, heads = 0, key_value_heads = 0, head_width = 0, feed_forward = 0;
  NormKind norm = NormKind::kLayerNorm;
  double norm_epsilon = 0;
  kernels::Activation activation = kernels::Activation::kNone;

  at::Tensor tokens;              ///< the embedding [V, D], in the compute dtype
  at::Tensor positions;           ///< position embedding [context, D], or undefined
  at::Tensor rotary_frequencies;  ///< of queries and keys [d / 2], float32, or undefined
  std::vector<DecodeBlock> blocks;
  DecodeNorm last_norm;
  at::Tensor output;  ///< [V, D], in the compute dtype

  /// Whether the decode step can run it: all that is multiplied on the CPU and of one dtype,
  /// float32, bfloat16 or float16.
  bool is_runnable() const;
};

/// A layer with its forward weights, whose tensors it shares.
DecodeLinear decode_linear(const sparse::Linear& layer);

/// Brings what kernels read into the order and type in which they read it: norms become float32,
/// which holds every value of the other types. Tensors that are so already stay shared.
void prepare(DecodePlan& plan);

}  // namespace twofour::model
