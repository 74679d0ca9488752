#include "twofour/model/qwen3/qwen3.h"

#include <ATen/ops/empty.h>

#include "twofour/model/embedding.h"

namespace twofour::model {
namespace {

at::Tensor qwen3_attention(const Qwen3Block& block, const at::Tensor& x, const Qwen3Config& config,
                           const Pass& pass) {
  const auto heads_of = [&](const Linear& layer, int64_t heads) {
    return pass.split_heads(pass.linear(x, layer), heads);
  };
  const auto turned = [&](const at::Tensor& heads, const at::Tensor& norm) {
    return rotate(rms_norm(heads, norm, config.rms_norm_epsilon), pass.rotation);
  };
  const at::Tensor queries = turned(heads_of(block.q_proj, config.heads), block.q_norm);
  const at::Tensor keys = turned(heads_of(block.k_proj, config.key_value_heads), block.k_norm);
  const at::Tensor values = heads_of(block.v_proj, config.key_value_heads);
  return pass.linear(pass.attend(queries, keys, values), block.o_proj);
}

}  // namespace

Qwen3Block Qwen3Block::empty(const Qwen3Config& config, const at::TensorOptions& options) {
  const int64_t width = config.width, inner = config.feed_forward;
  const int64_t queries = config.heads * config.head_width;
  const int64_t keys = config.key_value_heads * config.head_width;
  const bool has_bias = config.attention_bias;
  const auto vector = [&](int64_t size) { return at::empty({size}, options); };
  return {.input_layernorm = vector(width),
          .q_proj = empty_linear(queries, width, has_bias, options),
          .k_proj = empty_linear(keys, width, has_bias, options),
          .v_proj = empty_linear(keys, width, has_bias, options),
          .o_proj = empty_linear(width, queries, has_bias, options),
          .q_norm = vector(config.head_width),
          .k_norm = vector(config.head_width),
          .post_attention_layernorm = vector(width),
          .gate_proj = empty_linear(inner, width, false, options),
          .up_proj = empty_linear(inner, width, false, options),
          .down_proj = empty_linear(width, inner, false, options)};
}

Qwen3::Qwen3(const Qwen3Config& sizes, const at::TensorOptions& options) : NetworkOf(sizes) {
  embed_tokens.weight = at::empty({config.vocabulary, config.width}, options);
  norm = at::empty({config.width}, options);
  if (!config.tied) lm_head.weight = at::empty({config.vocabulary, config.width}, options);
}

void Qwen3::list_before(Listing& listing) { listing.table("model.embed_tokens", embed_tokens); }

void Qwen3::list_block(size_t i, Listing& listing) {
  Qwen3Block& block = blocks.at(i);
  const std::string prefix = "model.layers." + std::to_string(i);
  listing.scale(prefix + ".input_layernorm", block.input_layernorm);
  listing.linear(prefix + ".self_attn.q_proj", block.q_proj);
  listing.linear(prefix + ".self_attn.k_proj", block.k_proj);
  listing.linear(prefix + ".self_attn.v_proj", block.v_proj);
  listing.linear(prefix + ".self_attn.o_proj", block.o_proj);
  listing.scale(prefix + ".self_attn.q_norm", block.q_norm);
  listing.scale(prefix + ".self_attn.k_norm", block.k_norm);
  listing.scale(prefix + ".post_attention_layernorm", block.post_attention_layernorm);
  listing.linear(prefix + ".mlp.gate_proj", block.gate_proj);
  listing.linear(prefix + ".mlp.up_proj", block.up_proj);
  listing.linear(prefix + ".mlp.down_proj", block.down_proj);
}

void Qwen3::list_after(Listing& listing) {
  listing.scale("model.norm", norm);
  if (!config.tied) listing.table("lm_head", lm_head);
}

std::vector<ChannelGroup> Qwen3::channel_groups(size_t i) {
  Qwen3Block& block = blocks.at(i);
  const Sizes sizes = this->sizes();
  std::vector<ChannelGroup> groups =
      value_channels(block.v_proj, 0, sizes.head_width, block.o_proj, sizes);
  groups.push_back(hidden_units({&block.gate_proj, &block.up_proj}, block.down_proj));
  return groups;
}

at::Tensor Qwen3::embed(const at::Tensor& ids, int64_t) const {
  return model::embed(embed_tokens, {}, ids);
}

at::Tensor Qwen3::run_block(const at::Tensor& x, const Pass& pass) const {
  const Qwen3Block& block = blocks[pass.block];
  const double epsilon = config.rms_norm_epsilon;
  const at::Tensor attended =
      x.add(qwen3_attention(block, rms_norm(x, block.input_layernorm, epsilon), config, pass));
  const at::Tensor normed = rms_norm(attended, block.post_attention_layernorm, epsilon);
  return attended.add(
      gated_feed_forward(pass, normed, block.gate_proj, block.up_proj, block.down_proj));
}

at::Tensor Qwen3::finish(const at::Tensor& x) const {
  return rms_norm(x, norm, config.rms_norm_epsilon);
}

at::Tensor Qwen3::rotary_frequencies() const {
  return rope_frequencies(config.rope, config.head_width);
}

DecodePlan Qwen3::decode_plan() const {
  DecodePlan plan = plan_for(sizes());
  plan.norm = NormKind::kRmsNorm;
  plan.norm_epsilon = config.rms_norm_epsilon;
  plan.activation = DecodeActivation::kSiluTimes;
  plan.tokens = embed_tokens.used();
  plan.rotary_frequencies = rotary_frequencies();
  for (const Qwen3Block& block : blocks) {
    plan.blocks.push_back(
        {.attention_norm = {block.input_layernorm, {}},
         .attention_in = {decode_linear(block.q_proj), decode_linear(block.k_proj),
                          decode_linear(block.v_proj)},
         .query_norm = block.q_norm,
         .key_norm = block.k_norm,
         .attention_out = decode_linear(block.o_proj),
         .feed_forward_norm = {block.post_attention_layernorm, {}},
         .feed_forward_in = {decode_linear(block.gate_proj), decode_linear(block.up_proj)},
         .feed_forward_out = decode_linear(block.down_proj)});
  }
  plan.last_norm = {norm, {}};
  plan.output = output().used();
  return plan;
}

}  // namespace twofour::model
