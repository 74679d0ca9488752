#include "twofour/model/opt/opt.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/relu.h>

#include "twofour/model/embedding.h"

namespace twofour::model {
namespace {

at::Tensor opt_attention(const OptBlock& block, const at::Tensor& x, int64_t heads,
                         const Pass& pass) {
  const auto heads_of = [&](const Linear& layer) {
    return pass.split_heads(pass.linear(x, layer), heads);
  };
  const at::Tensor mixed =
      pass.attend(heads_of(block.q_proj), heads_of(block.k_proj), heads_of(block.v_proj));
  return pass.linear(mixed, block.out_proj);
}

at::Tensor opt_feed_forward(const OptBlock& block, const at::Tensor& x, const Pass& pass) {
  return pass.linear(at::relu(pass.linear(x, block.fc1)), block.fc2);
}

}  // namespace

OptBlock OptBlock::empty(const OptConfig& config, const at::TensorOptions& options) {
  const int64_t width = config.width, inner = config.feed_forward;
  const auto linear = [&](int64_t out, int64_t in) {
    return empty_linear(out, in, config.has_biases, options);
  };
  return {.k_proj = linear(width, width),
          .v_proj = linear(width, width),
          .q_proj = linear(width, width),
          .out_proj = linear(width, width),
          .self_attn_layer_norm = empty_layer_norm(width, options),
          .fc1 = linear(inner, width),
          .fc2 = linear(width, inner),
          .final_layer_norm = empty_layer_norm(width, options)};
}

Opt::Opt(const OptConfig& sizes, const at::TensorOptions& options) : NetworkOf(sizes) {
  const int64_t width = config.width, embedding_width = config.embedding_width;
  embed_tokens.weight = at::empty({config.vocabulary, embedding_width}, options);
  embed_positions.weight = at::empty({config.context + OptConfig::kPositionOffset, width}, options);
  if (config.has_projections()) {
    project_in = empty_linear(width, embedding_width, false, options);
    project_out = empty_linear(embedding_width, width, false, options);
  }
  if (config.has_last_norm) last_norm = empty_layer_norm(width, options);
  if (!config.tied) lm_head.weight = at::empty({config.vocabulary, embedding_width}, options);
}

void Opt::list_before(Listing& listing) {
  listing.table("model.decoder.embed_tokens", embed_tokens);
  listing.table("model.decoder.embed_positions", embed_positions);
  if (config.has_projections()) listing.linear("model.decoder.project_in", project_in);
}

void Opt::list_block(size_t i, Listing& listing) {
  OptBlock& block = blocks.at(i);
  const std::string prefix = "model.decoder.layers." + std::to_string(i);
  listing.linear(prefix + ".self_attn.k_proj", block.k_proj);
  listing.linear(prefix + ".self_attn.v_proj", block.v_proj);
  listing.linear(prefix + ".self_attn.q_proj", block.q_proj);
  listing.linear(prefix + ".self_attn.out_proj", block.out_proj);
  listing.norm(prefix + ".self_attn_layer_norm", block.self_attn_layer_norm);
  listing.linear(prefix + ".fc1", block.fc1);
  listing.linear(prefix + ".fc2", block.fc2);
  listing.norm(prefix + ".final_layer_norm", block.final_layer_norm);
}

void Opt::list_after(Listing& listing) {
  if (config.has_last_norm) listing.norm("model.decoder.final_layer_norm", last_norm);
  if (config.has_projections()) listing.linear("model.decoder.project_out", project_out);
  if (!config.tied) listing.table("lm_head", lm_head);
}

std::vector<ChannelGroup> Opt::channel_groups(size_t i) {
  OptBlock& block = blocks.at(i);
  const Sizes sizes = this->sizes();
  std::vector<ChannelGroup> groups =
      value_channels(block.v_proj, 0, sizes.head_width, block.out_proj, sizes);
  groups.push_back(hidden_units({&block.fc1}, block.fc2));
  return groups;
}

at::Tensor Opt::embed(const at::Tensor& ids, int64_t first_position) const {
  const int64_t first = first_position + OptConfig::kPositionOffset;
  if (!config.has_projections()) return model::embed(embed_tokens, embed_positions, ids, first);
  const at::Tensor tokens = sparse::linear(model::embed(embed_tokens, {}, ids), project_in);
  const at::Tensor places =
      at::arange(first, first + ids.size(1), ids.options()).expand(ids.sizes()).contiguous();
  return tokens.add(model::embed(embed_positions, {}, places));
}

at::Tensor Opt::run_block(const at::Tensor& x, const Pass& pass) const {
  const OptBlock& block = blocks[pass.block];
  const auto norm = [](const at::Tensor& values, const LayerNorm& by) {
    return layer_norm(values, by, OptConfig::kLayerNormEpsilon);
  };
  if (config.has_norms_first) {
    const at::Tensor attended =
        x.add(opt_attention(block, norm(x, block.self_attn_layer_norm), config.heads, pass));
    return attended.add(opt_feed_forward(block, norm(attended, block.final_layer_norm), pass));
  }
  const at::Tensor attended =
      norm(x.add(opt_attention(block, x, config.heads, pass)), block.self_attn_layer_norm);
  return norm(attended.add(opt_feed_forward(block, attended, pass)), block.final_layer_norm);
}

at::Tensor Opt::finish(const at::Tensor& x) const {
  const at::Tensor normed =
      config.has_last_norm ? layer_norm(x, last_norm, OptConfig::kLayerNormEpsilon) : x;
  return config.has_projections() ? sparse::linear(normed, project_out) : normed;
}

// The decode step needs norms first and a single width, so the 350M model runs on tensors.
DecodePlan Opt::decode_plan() const {
  DecodePlan plan = plan_for(sizes());
  if (!config.has_last_norm || config.has_projections()) return plan;
  plan.norm = NormKind::kLayerNorm;
  plan.norm_epsilon = OptConfig::kLayerNormEpsilon;
  plan.activation = DecodeActivation::kRelu;
  plan.tokens = embed_tokens.used();
  plan.positions = embed_positions.used().narrow(0, OptConfig::kPositionOffset, config.context);
  for (const OptBlock& block : blocks) {
    const LayerNorm &first = block.self_attn_layer_norm, &second = block.final_layer_norm;
    plan.blocks.push_back(
        {.attention_norm = {first.weight, first.bias},
         .attention_in = {decode_linear(block.q_proj), decode_linear(block.k_proj),
                          decode_linear(block.v_proj)},
         .attention_out = decode_linear(block.out_proj),
         .feed_forward_norm = {second.weight, second.bias},
         .feed_forward_in = {decode_linear(block.fc1)},
         .feed_forward_out = decode_linear(block.fc2)});
  }
  plan.last_norm = {last_norm.weight, last_norm.bias};
  plan.output = output().used();
  return plan;
}

}  // namespace twofour::model
