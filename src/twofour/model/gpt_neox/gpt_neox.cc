#include "twofour/model/gpt_neox/gpt_neox.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>

#include "twofour/model/embedding.h"

namespace twofour::model {
namespace {

at::Tensor gpt_neox_attention(const GptNeoXBlock& block, const at::Tensor& x, int64_t heads,
                              const Pass& pass) {
  const at::Tensor heads_of_all = pass.split_heads(pass.linear(x, block.query_key_value), heads);
  const std::vector<at::Tensor> qkv = heads_of_all.chunk(3, 3);
  const at::Tensor mixed =
      pass.attend(rotate(qkv[0], pass.rotation), rotate(qkv[1], pass.rotation), qkv[2]);
  return pass.linear(mixed, block.attention_dense);
}

at::Tensor gpt_neox_feed_forward(const GptNeoXBlock& block, const at::Tensor& x, const Pass& pass) {
  return pass.linear(at::gelu(pass.linear(x, block.dense_h_to_4h)), block.dense_4h_to_h);
}

}  // namespace

GptNeoXBlock GptNeoXBlock::empty(const GptNeoXConfig& config, const at::TensorOptions& options) {
  const int64_t width = config.width, inner = config.feed_forward;
  const bool has_bias = config.has_attention_bias;
  return {.input_layernorm = empty_layer_norm(width, options),
          .post_attention_layernorm = empty_layer_norm(width, options),
          .query_key_value = empty_linear(3 * width, width, has_bias, options),
          .attention_dense = empty_linear(width, width, has_bias, options),
          .dense_h_to_4h = empty_linear(inner, width, true, options),
          .dense_4h_to_h = empty_linear(width, inner, true, options)};
}

GptNeoX::GptNeoX(const GptNeoXConfig& sizes, const at::TensorOptions& options) : NetworkOf(sizes) {
  embed_in.weight = at::empty({config.vocabulary, config.width}, options);
  final_layer_norm = empty_layer_norm(config.width, options);
  if (!config.tied) embed_out.weight = at::empty({config.vocabulary, config.width}, options);
}

void GptNeoX::list_before(Listing& listing) { listing.table("gpt_neox.embed_in", embed_in); }

void GptNeoX::list_block(size_t i, Listing& listing) {
  GptNeoXBlock& block = blocks.at(i);
  const std::string prefix = "gpt_neox.layers." + std::to_string(i);
  listing.norm(prefix + ".input_layernorm", block.input_layernorm);
  listing.norm(prefix + ".post_attention_layernorm", block.post_attention_layernorm);
  listing.linear(prefix + ".attention.query_key_value", block.query_key_value);
  listing.linear(prefix + ".attention.dense", block.attention_dense);
  listing.linear(prefix + ".mlp.dense_h_to_4h", block.dense_h_to_4h);
  listing.linear(prefix + ".mlp.dense_4h_to_h", block.dense_4h_to_h);
}

void GptNeoX::list_after(Listing& listing) {
  listing.norm("gpt_neox.final_layer_norm", final_layer_norm);
  if (!config.tied) listing.table("embed_out", embed_out);
}

std::vector<ChannelGroup> GptNeoX::channel_groups(size_t i) {
  GptNeoXBlock& block = blocks.at(i);
  const Sizes sizes = this->sizes();
  std::vector<ChannelGroup> groups =
      value_channels(block.query_key_value, 2 * sizes.head_width, 3 * sizes.head_width,
                     block.attention_dense, sizes);
  groups.push_back(hidden_units({&block.dense_h_to_4h}, block.dense_4h_to_h));
  return groups;
}

at::Tensor GptNeoX::embed(const at::Tensor& ids, int64_t) const {
  return model::embed(embed_in, {}, ids);
}

at::Tensor GptNeoX::run_block(const at::Tensor& x, const Pass& pass) const {
  const GptNeoXBlock& block = blocks[pass.block];
  const double epsilon = config.layer_norm_epsilon;
  const at::Tensor attention =
      gpt_neox_attention(block, layer_norm(x, block.input_layernorm, epsilon), config.heads, pass);
  if (config.has_parallel_residual) {
    const at::Tensor normed = layer_norm(x, block.post_attention_layernorm, epsilon);
    return gpt_neox_feed_forward(block, normed, pass).add(attention).add(x);
  }
  const at::Tensor attended = attention.add(x);
  const at::Tensor normed = layer_norm(attended, block.post_attention_layernorm, epsilon);
  return gpt_neox_feed_forward(block, normed, pass).add(attended);
}

at::Tensor GptNeoX::finish(const at::Tensor& x) const {
  return layer_norm(x, final_layer_norm, config.layer_norm_epsilon);
}

at::Tensor GptNeoX::rotary_frequencies() const {
  return rope_frequencies(config.rope, config.rotary_width);
}

DecodePlan GptNeoX::decode_plan() const {
  DecodePlan plan = plan_for(sizes());
  plan.norm = NormKind::kLayerNorm;
  plan.norm_epsilon = config.layer_norm_epsilon;
  plan.activation = DecodeActivation::kExactGelu;
  plan.has_parallel_residual = config.has_parallel_residual;
  plan.has_heads_side_by_side = true;
  plan.tokens = embed_in.used();
  plan.rotary_frequencies = rotary_frequencies();
  for (const GptNeoXBlock& block : blocks) {
    const LayerNorm &first = block.input_layernorm, &second = block.post_attention_layernorm;
    plan.blocks.push_back({.attention_norm = {first.weight, first.bias},
                           .attention_in = {decode_linear(block.query_key_value)},
                           .attention_out = decode_linear(block.attention_dense),
                           .feed_forward_norm = {second.weight, second.bias},
                           .feed_forward_in = {decode_linear(block.dense_h_to_4h)},
                           .feed_forward_out = decode_linear(block.dense_4h_to_h)});
  }
  plan.last_norm = {final_layer_norm.weight, final_layer_norm.bias};
  plan.output = output().used();
  return plan;
}

}  // namespace twofour::model
