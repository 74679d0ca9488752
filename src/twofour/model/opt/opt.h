// OPT (Zhang et al., arXiv 2205.01068, section 2.1) as a plain struct of tensors and a forward pass
// that reads top to bottom. D width, E width of the token embedding, F feed-forward width, V
// vocabulary.
#pragma once

#include "twofour/model/network.h"
#include "twofour/model/opt/opt_config.h"

namespace twofour::model {

struct OptBlock {
  Linear k_proj, v_proj, q_proj, out_proj;  ///< [D, D]
  LayerNorm self_attn_layer_norm;
  Linear fc1;  ///< [F, D]
  Linear fc2;  ///< [D, F]
  LayerNorm final_layer_norm;

  static OptBlock empty(const OptConfig& config, const at::TensorOptions& options);
};

struct Opt final : NetworkOf<Opt, OptConfig, OptBlock> {
  Table embed_tokens;     ///< [V, E]
  Table embed_positions;  ///< [context + 2, D]
  Linear project_in;      ///< [D, E]; undefined if E = D
  LayerNorm last_norm;    ///< may be undefined
  Linear project_out;     ///< [E, D]; undefined if E = D
  Table lm_head;          ///< [V, E]; undefined if tied

  /// Parameters with shapes and no values; the blocks' are undefined.
  Opt(const OptConfig& config, const at::TensorOptions& options);

  void list_before(Listing& listing) override;
  void list_block(size_t i, Listing& listing) override;
  void list_after(Listing& listing) override;
  std::vector<ChannelGroup> channel_groups(size_t i) override;

  at::Tensor embed(const at::Tensor& ids, int64_t first_position) const override;
  at::Tensor run_block(const at::Tensor& x, const Pass& pass) const override;
  at::Tensor finish(const at::Tensor& x) const override;
  const Table& embedding() const override { return embed_tokens; }
  const Table& output() const override { return config.tied ? embed_tokens : lm_head; }
  DecodePlan decode_plan() const override;
};

}  // namespace twofour::model
