// LLaMA (Touvron et al., arXiv 2302.13971, section 2.2; LLaMA 2, arXiv 2307.09288; LLaMA 3, arXiv
// 2407.21783, section 3.2) and the models of its shape (Mistral, TinyLlama, SmolLM, Qwen2) as a
// plain struct of tensors and a forward pass that reads top to bottom. D width, F feed-forward
// width, H heads, G heads of keys and values, d width of a head, V vocabulary.
#pragma once

#include "twofour/model/llama/llama_config.h"
#include "twofour/model/network.h"

namespace twofour::model {

struct LlamaBlock {
  at::Tensor input_layernorm;           ///< [D]
  Linear q_proj;                        ///< [H d, D]
  Linear k_proj, v_proj;                ///< [G d, D]
  Linear o_proj;                        ///< [D, H d]
  at::Tensor post_attention_layernorm;  ///< [D]
  Linear gate_proj, up_proj;            ///< [F, D]
  Linear down_proj;                     ///< [D, F]

  static LlamaBlock empty(const LlamaConfig& config, const at::TensorOptions& options);
};

struct Llama final : NetworkOf<Llama, LlamaConfig, LlamaBlock> {
  Table embed_tokens;  ///< [V, D]
  at::Tensor norm;     ///< [D]
  Table lm_head;       ///< [V, D]; undefined if tied

  /// Parameters with shapes and no values; the blocks' are undefined.
  Llama(const LlamaConfig& config, const at::TensorOptions& options);

  void list_before(Listing& listing) override;
  void list_block(size_t i, Listing& listing) override;
  void list_after(Listing& listing) override;
  std::vector<ChannelGroup> channel_groups(size_t i) override;

  at::Tensor embed(const at::Tensor& ids, int64_t first_position) const override;
  at::Tensor run_block(const at::Tensor& x, const Pass& pass) const override;
  at::Tensor finish(const at::Tensor& x) const override;
  at::Tensor rotary_frequencies() const override;
  const Table& embedding() const override { return embed_tokens; }
  const Table& output() const override { return config.tied ? embed_tokens : lm_head; }
  DecodePlan decode_plan() const override;
};

}  // namespace twofour::model
