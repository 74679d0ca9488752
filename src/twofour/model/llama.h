// LLaMA (Touvron et al., arXiv 2302.13971, section 2.2; LLaMA 2, arXiv 2307.09288; LLaMA 3, arXiv
// 2407.21783, section 3.2) and the models of its shape (Mistral without its window, TinyLlama,
// SmolLM, Qwen2) as a plain struct of tensors and a forward pass that reads top to bottom. B batch,
// T tokens of a sequence, N = B·T, D width, F feed-forward width, H heads, G heads of keys and
// values, d width of a head, V vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/model/attention.h"
#include "twofour/model/decode_plan.h"
#include "twofour/model/forward_options.h"
#include "twofour/model/loss.h"
#include "twofour/sparse/linear24.h"

namespace twofour::model {

using sparse::Linear;

/// How the rotary angles of a model for longer contexts differ from RoPE's (Su et al., arXiv
/// 2104.09864). kLlama3: of LLaMA 3.1, long wavelengths divided by `factor`, short ones kept, those
/// between blended. kLinear: all divided (Chen et al., arXiv 2306.15595).
struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3 };
  Kind kind = Kind::kNone;
  double factor = 1.0;
  double low_frequency_factor = 1.0, high_frequency_factor = 4.0;  ///< kLlama3 only
  int64_t original_context = 8192;                                 ///< kLlama3 only

  bool operator==(const RopeScaling&) const = default;
};

struct LlamaConfig {
  /// Hugging Face's model_type: llama, mistral or qwen2. It changes nothing but the folder's
  /// config.json.
  std::string family = "llama";
  int64_t vocabulary = 32000;
  int64_t context = 2048;  ///< largest number of tokens of a sequence
  int64_t width = 4096;
  int64_t layers = 32;
  int64_t heads = 32;
  int64_t key_value_heads = 32;
  int64_t head_width = 128;
  int64_t feed_forward = 11008;
  double rms_norm_epsilon = 1e-6;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  bool tied = false;                   ///< the output matrix is the token embedding
  bool query_bias = false;             ///< of q_proj, k_proj and v_proj
  bool attention_output_bias = false;  ///< of o_proj
  bool feed_forward_bias = false;

  /// Throws Error (usage) for sizes that no model can have, naming the two that disagree.
  void check() const;
  int64_t parameters() const;
  bool operator==(const LlamaConfig&) const = default;
};

struct LlamaBlock {
  at::Tensor input_layernorm;           ///< [D]
  Linear q_proj;                        ///< [H d, D]
  Linear k_proj, v_proj;                ///< [G d, D]
  Linear o_proj;                        ///< [D, H d]
  at::Tensor post_attention_layernorm;  ///< [D]
  Linear gate_proj, up_proj;            ///< [F, D]
  Linear down_proj;                     ///< [D, F]
};

struct Llama {
  LlamaConfig config;
  at::Tensor embed_tokens;  ///< [V, D]
  std::vector<LlamaBlock> layers;
  at::Tensor norm;     ///< [D]
  at::Tensor lm_head;  ///< [V, D]; undefined where it is tied

  /// The embedding and the output matrix in the compute dtype. Undefined = the masters.
  at::Tensor forward_embed_tokens, forward_lm_head;

  OutputMatrix output() const;

  /// Calls fn(name, tensor) for every parameter in a fixed order, with Hugging Face's names.
  template <class Fn>
  void visit(Fn&& fn);

  /// The same for the parameters of block i alone, and for those of no block.
  template <class Fn>
  void visit_block(size_t i, Fn&& fn);
  template <class Fn>
  void visit_frame(Fn&& fn);

  /// Calls fn(name, linear) for every linear layer; `name` is its weight's name in visit.
  template <class Fn>
  void visit_linears(Fn&& fn);
};

/// Parameters drawn as LLaMA's are at the start of training: N(0, 0.02²), norms 1, biases 0. A pure
/// function of (config, seed).
Llama make_random(const LlamaConfig& config, uint64_t seed);

/// Parameters with the right shapes and no values, for a loader to fill.
Llama make_empty(const LlamaConfig& config, const at::TensorOptions& options);

/// The same without the blocks, whose tensors are undefined.
Llama make_empty_frame(const LlamaConfig& config, const at::TensorOptions& options);

/// A block of the same kind.
LlamaBlock make_empty_block(const LlamaConfig& config, const at::TensorOptions& options);

/// The d / 2 angles per position of RoPE, float32, rounded as transformers computes them.
at::Tensor rope_frequencies(const LlamaConfig& config);

/// The last norm's output [N, D] for ids [B, T] (int64). Throws when T is over the context or an id
/// is outside the vocabulary.
at::Tensor hidden_of(const Llama& model, const at::Tensor& ids, const ForwardOptions& options = {});

/// The same with a cache: ids [B, T] follow the tokens in `cache`, which grows by T. No gradients.
/// T may exceed 1 only while the cache is empty.
at::Tensor hidden_of(const Llama& model, const at::Tensor& ids, KeyValueCache& cache);
KeyValueCache make_cache(const Llama& model, int64_t batch, int64_t capacity);

/// The same forward pass for one token of each sequence: see decode_step.h.
DecodePlan decode_plan(const Llama& model);

template <class Fn>
void Llama::visit_block(size_t i, Fn&& fn) {
  LlamaBlock& block = layers[i];
  const std::string prefix = "model.layers." + std::to_string(i);
  const auto linear = [&](const char* name, Linear& layer) {
    fn(prefix + name + ".weight", layer.weight);
    if (layer.bias.defined()) fn(prefix + name + ".bias", layer.bias);
  };
  fn(prefix + ".input_layernorm.weight", block.input_layernorm);
  linear(".self_attn.q_proj", block.q_proj);
  linear(".self_attn.k_proj", block.k_proj);
  linear(".self_attn.v_proj", block.v_proj);
  linear(".self_attn.o_proj", block.o_proj);
  fn(prefix + ".post_attention_layernorm.weight", block.post_attention_layernorm);
  linear(".mlp.gate_proj", block.gate_proj);
  linear(".mlp.up_proj", block.up_proj);
  linear(".mlp.down_proj", block.down_proj);
}

template <class Fn>
void Llama::visit_frame(Fn&& fn) {
  fn(std::string("model.embed_tokens.weight"), embed_tokens);
  fn(std::string("model.norm.weight"), norm);
  if (!config.tied) fn(std::string("lm_head.weight"), lm_head);
}

template <class Fn>
void Llama::visit(Fn&& fn) {
  fn(std::string("model.embed_tokens.weight"), embed_tokens);
  for (size_t i = 0; i < layers.size(); ++i) visit_block(i, fn);
  fn(std::string("model.norm.weight"), norm);
  if (!config.tied) fn(std::string("lm_head.weight"), lm_head);
}

template <class Fn>
void Llama::visit_linears(Fn&& fn) {
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string prefix = "model.layers." + std::to_string(i);
    LlamaBlock& block = layers[i];
    fn(prefix + ".self_attn.q_proj.weight", block.q_proj);
    fn(prefix + ".self_attn.k_proj.weight", block.k_proj);
    fn(prefix + ".self_attn.v_proj.weight", block.v_proj);
    fn(prefix + ".self_attn.o_proj.weight", block.o_proj);
    fn(prefix + ".mlp.gate_proj.weight", block.gate_proj);
    fn(prefix + ".mlp.up_proj.weight", block.up_proj);
    fn(prefix + ".mlp.down_proj.weight", block.down_proj);
  }
}

}  // namespace twofour::model
