// GPT-2 (Radford et al. 2019) as a plain struct of tensors and a forward pass that reads top to
// bottom. D width, F feed-forward width, V vocabulary.
#pragma once

#include "twofour/model/gpt2/gpt2_config.h"
#include "twofour/model/network.h"

namespace twofour::model {

struct Gpt2Block {
  LayerNorm ln_1;
  Linear c_attn;  ///< [3 D, D]: queries, keys, values
  Linear c_proj;  ///< [D, D]
  LayerNorm ln_2;
  Linear mlp_c_fc;    ///< [F, D]
  Linear mlp_c_proj;  ///< [D, F]

  static Gpt2Block empty(const Gpt2Config& config, const at::TensorOptions& options);
};

struct Gpt2 final : NetworkOf<Gpt2, Gpt2Config, Gpt2Block> {
  Table wte;  ///< token embedding [V, D], also the output matrix (tied)
  Table wpe;  ///< position embedding [context, D]
  LayerNorm ln_f;

  /// Parameters with shapes and no values; the blocks' are undefined.
  Gpt2(const Gpt2Config& config, const at::TensorOptions& options);

  void list_before(Listing& listing) override;
  void list_block(size_t i, Listing& listing) override;
  void list_after(Listing& listing) override;
  std::vector<ChannelGroup> channel_groups(size_t i) override;
  /// The two projections into the residual stream start with a deviation smaller by 1 / sqrt(2
  /// layers).
  double initial_deviation(const std::string& name) const override;

  at::Tensor embed(const at::Tensor& ids, int64_t first_position) const override;
  at::Tensor run_block(const at::Tensor& x, const Pass& pass) const override;
  at::Tensor finish(const at::Tensor& x) const override;
  const Table& embedding() const override { return wte; }
  const Table& output() const override { return wte; }
  DecodePlan decode_plan() const override;
};

}  // namespace twofour::model
