// GPT-NeoX (Black et al., arXiv 2204.06745, section 2.1), the architecture of Pythia, as a plain
// struct of tensors and a forward pass that reads top to bottom. D width, F feed-forward width, H
// heads, d width of a head, V vocabulary.
#pragma once

#include "twofour/model/gpt_neox/gpt_neox_config.h"
#include "twofour/model/network.h"

namespace twofour::model {

struct GptNeoXBlock {
  LayerNorm input_layernorm;
  LayerNorm post_attention_layernorm;
  Linear query_key_value;  ///< [H · 3 d, D]: each head's query, key and value side by side
  Linear attention_dense;  ///< [D, D]
  Linear dense_h_to_4h;    ///< [F, D]
  Linear dense_4h_to_h;    ///< [D, F]

  static GptNeoXBlock empty(const GptNeoXConfig& config, const at::TensorOptions& options);
};

struct GptNeoX final : NetworkOf<GptNeoX, GptNeoXConfig, GptNeoXBlock> {
  Table embed_in;  ///< [V, D]
  LayerNorm final_layer_norm;
  Table embed_out;  ///< [V, D]; undefined if tied

  /// Parameters with shapes and no values; the blocks' are undefined.
  GptNeoX(const GptNeoXConfig& config, const at::TensorOptions& options);

  void list_before(Listing& listing) override;
  void list_block(size_t i, Listing& listing) override;
  void list_after(Listing& listing) override;
  std::vector<ChannelGroup> channel_groups(size_t i) override;

  at::Tensor embed(const at::Tensor& ids, int64_t first_position) const override;
  at::Tensor run_block(const at::Tensor& x, const Pass& pass) const override;
  at::Tensor finish(const at::Tensor& x) const override;
  at::Tensor rotary_frequencies() const override;
  const Table& embedding() const override { return embed_in; }
  const Table& output() const override { return config.tied ? embed_in : embed_out; }
  DecodePlan decode_plan() const override;
};

}  // namespace twofour::model
