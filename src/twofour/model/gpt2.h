// GPT-2 (Radford et al. 2019) as a plain struct of tensors and a forward pass that reads top to
// bottom. B batch, T tokens of a sequence, N = B·T, D width, F feed-forward width, H heads, V
// vocabulary.
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

/// The sizes. `feed_forward` is 4 · width in the published models and half of that for method half.
struct Gpt2Config {
  int64_t vocabulary = 50257;
  int64_t context = 1024;  ///< largest number of tokens of a sequence
  int64_t width = 768;
  int64_t layers = 12;
  int64_t heads = 12;
  int64_t feed_forward = 3072;
  double layer_norm_epsilon = 1e-5;

  /// Throws Error (usage) for sizes that no model can have, naming the two that disagree.
  void check() const;
  int64_t parameters() const;
  bool operator==(const Gpt2Config&) const = default;
};

struct LayerNorm {
  at::Tensor weight, bias;  ///< [D]
};

struct Gpt2Block {
  LayerNorm ln_1;
  Linear c_attn;  ///< [3 D, D]: queries, keys, values
  Linear c_proj;  ///< [D, D]
  LayerNorm ln_2;
  Linear mlp_c_fc;    ///< [F, D]
  Linear mlp_c_proj;  ///< [D, F]
};

struct Gpt2 {
  Gpt2Config config;
  at::Tensor wte;  ///< token embedding [V, D], also the output matrix (tied)
  at::Tensor wpe;  ///< position embedding [context, D]
  std::vector<Gpt2Block> h;
  LayerNorm ln_f;

  /// wte and wpe in the compute dtype, made once per optimiser step. Undefined = the masters.
  at::Tensor forward_wte, forward_wpe;

  OutputMatrix output() const { return {wte, forward_wte}; }

  /// Calls fn(name, tensor) for every parameter in a fixed order, with Hugging Face's names. Linear
  /// weights are [out, in] here; Hugging Face's files hold them transposed (Conv1D).
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

/// Parameters drawn as GPT-2's are: N(0, 0.02²), the two projections into the residual stream by
/// 1 / sqrt(2 layers) less, biases 0, norms 1. A pure function of (config, seed).
Gpt2 make_random(const Gpt2Config& config, uint64_t seed);

/// Parameters with the right shapes and no values, for a loader to fill.
Gpt2 make_empty(const Gpt2Config& config, const at::TensorOptions& options);

/// The same without the blocks, whose tensors are undefined.
Gpt2 make_empty_frame(const Gpt2Config& config, const at::TensorOptions& options);

/// A block of the same kind.
Gpt2Block make_empty_block(const Gpt2Config& config, const at::TensorOptions& options);

/// The last norm's output [N, D] for ids [B, T] (int64). Throws when T is over the context or an id
/// is outside the vocabulary.
at::Tensor hidden_of(const Gpt2& model, const at::Tensor& ids, const ForwardOptions& options = {});

/// The same with a cache: ids [B, T] follow the tokens in `cache`, which grows by T. No gradients.
/// T may exceed 1 only while the cache is empty.
at::Tensor hidden_of(const Gpt2& model, const at::Tensor& ids, KeyValueCache& cache);
KeyValueCache make_cache(const Gpt2& model, int64_t batch, int64_t capacity);

/// The same forward pass for one token of each sequence: see decode_step.h.
DecodePlan decode_plan(const Gpt2& model);

template <class Fn>
void Gpt2::visit_linears(Fn&& fn) {
  for (size_t i = 0; i < h.size(); ++i) {
    const std::string prefix = "transformer.h." + std::to_string(i);
    fn(prefix + ".attn.c_attn.weight", h[i].c_attn);
    fn(prefix + ".attn.c_proj.weight", h[i].c_proj);
    fn(prefix + ".mlp.c_fc.weight", h[i].mlp_c_fc);
    fn(prefix + ".mlp.c_proj.weight", h[i].mlp_c_proj);
  }
}

template <class Fn>
void Gpt2::visit_block(size_t i, Fn&& fn) {
  Gpt2Block& block = h[i];
  const std::string prefix = "transformer.h." + std::to_string(i);
  const auto both = [&](const char* name, auto& layer) {
    fn(prefix + name + ".weight", layer.weight);
    fn(prefix + name + ".bias", layer.bias);
  };
  both(".ln_1", block.ln_1);
  both(".attn.c_attn", block.c_attn);
  both(".attn.c_proj", block.c_proj);
  both(".ln_2", block.ln_2);
  both(".mlp.c_fc", block.mlp_c_fc);
  both(".mlp.c_proj", block.mlp_c_proj);
}

template <class Fn>
void Gpt2::visit_frame(Fn&& fn) {
  fn(std::string("transformer.wte.weight"), wte);
  fn(std::string("transformer.wpe.weight"), wpe);
  fn(std::string("transformer.ln_f.weight"), ln_f.weight);
  fn(std::string("transformer.ln_f.bias"), ln_f.bias);
}

template <class Fn>
void Gpt2::visit(Fn&& fn) {
  fn(std::string("transformer.wte.weight"), wte);
  fn(std::string("transformer.wpe.weight"), wpe);
  for (size_t i = 0; i < h.size(); ++i) visit_block(i, fn);
  fn(std::string("transformer.ln_f.weight"), ln_f.weight);
  fn(std::string("transformer.ln_f.bias"), ln_f.bias);
}

}  // namespace twofour::model
