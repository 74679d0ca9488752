#include "twofour/model/llama/llama.h"

#include <ATen/ops/empty.h>

#include "twofour/model/embedding.h"

namespace twofour::model {
namespace {

at::Tensor llama_attention(const LlamaBlock& block, const at::Tensor& x, const LlamaConfig& config,
                           const Pass& pass) {
  const auto heads_of = [&](const Linear& layer, int64_t heads) {
    return pass.split_heads(pass.linear(x, layer), heads);
  };
  const at::Tensor queries = rotate(heads_of(block.q_proj, config.heads), pass.rotation);
  const at::Tensor keys = rotate(heads_of(block.k_proj, config.key_value_heads), pass.rotation);
  const at::Tensor values = heads_of(block.v_proj, config.key_value_heads);
  return pass.linear(pass.attend(queries, keys, values), block.o_proj);
}

}  // namespace

LlamaBlock LlamaBlock::empty(const LlamaConfig& config, const at::TensorOptions& options) {
  const auto linear = [&](int64_t out, int64_t in, bool has_bias) {
    return empty_linear(out, in, has_bias, options);
  };
  const int64_t width = config.width, inner = config.feed_forward;
  const int64_t queries = config.heads * config.head_width;
  const int64_t keys = config.key_value_heads * config.head_width;
  return {.input_layernorm = at::empty({width}, options),
          .q_proj = linear(queries, width, config.query_bias),
          .k_proj = linear(keys, width, config.query_bias),
          .v_proj = linear(keys, width, config.query_bias),
          .o_proj = linear(width, queries, config.attention_output_bias),
          .post_attention_layernorm = at::empty({width}, options),
          .gate_proj = linear(inner, width, config.feed_forward_bias),
          .up_proj = linear(inner, width, config.feed_forward_bias),
          .down_proj = linear(width, inner, config.feed_forward_bias)};
}

Llama::Llama(const LlamaConfig& sizes, const at::TensorOptions& options) : NetworkOf(sizes) {
  embed_tokens.weight = at::empty({config.vocabulary, config.width}, options);
  norm = at::empty({config.width}, options);
  if (!config.tied) lm_head.weight = at::empty({config.vocabulary, config.width}, options);
}

void Llama::list_before(Listing& listing) { listing.table("model.embed_tokens", embed_tokens); }

void Llama::list_block(size_t i, Listing& listing) {
  LlamaBlock& block = blocks.at(i);
  const std::string prefix = "model.layers." + std::to_string(i);
  listing.scale(prefix + ".input_layernorm", block.input_layernorm);
  listing.linear(prefix + ".self_attn.q_proj", block.q_proj);
  listing.linear(prefix + ".self_attn.k_proj", block.k_proj);
  listing.linear(prefix + ".self_attn.v_proj", block.v_proj);
  listing.linear(prefix + ".self_attn.o_proj", block.o_proj);
  listing.scale(prefix + ".post_attention_layernorm", block.post_attention_layernorm);
  listing.linear(prefix + ".mlp.gate_proj", block.gate_proj);
  listing.linear(prefix + ".mlp.up_proj", block.up_proj);
  listing.linear(prefix + ".mlp.down_proj", block.down_proj);
}

void Llama::list_after(Listing& listing) {
  listing.scale("model.norm", norm);
  if (!config.tied) listing.table("lm_head", lm_head);
}

std::vector<ChannelGroup> Llama::channel_groups(size_t i) {
  LlamaBlock& block = blocks.at(i);
  const Sizes sizes = this->sizes();
  std::vector<ChannelGroup> groups =
      value_channels(block.v_proj, 0, sizes.head_width, block.o_proj, sizes);
  groups.push_back(hidden_units({&block.gate_proj, &block.up_proj}, block.down_proj));
  return groups;
}

at::Tensor Llama::embed(const at::Tensor& ids, int64_t) const {
  return model::embed(embed_tokens, {}, ids);
}

at::Tensor Llama::run_block(const at::Tensor& x, const Pass& pass) const {
  const LlamaBlock& block = blocks[pass.block];
  const double epsilon = config.rms_norm_epsilon;
  const at::Tensor attended =
      x.add(llama_attention(block, rms_norm(x, block.input_layernorm, epsilon), config, pass));
  const at::Tensor normed = rms_norm(attended, block.post_attention_layernorm, epsilon);
  return attended.add(
      gated_feed_forward(pass, normed, block.gate_proj, block.up_proj, block.down_proj));
}

at::Tensor Llama::finish(const at::Tensor& x) const {
  return rms_norm(x, norm, config.rms_norm_epsilon);
}

at::Tensor Llama::rotary_frequencies() const {
  return rope_frequencies(config.rope, config.head_width);
}

DecodePlan Llama::decode_plan() const {
  DecodePlan plan = plan_for(sizes());
  plan.norm = NormKind::kRmsNorm;
  plan.norm_epsilon = config.rms_norm_epsilon;
  plan.activation = DecodeActivation::kSiluTimes;
  plan.tokens = embed_tokens.used();
  plan.rotary_frequencies = rotary_frequencies();
  for (const LlamaBlock& block : blocks) {
    plan.blocks.push_back(
        {.attention_norm = {block.input_layernorm, {}},
         .attention_in = {decode_linear(block.q_proj), decode_linear(block.k_proj),
                          decode_linear(block.v_proj)},
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
