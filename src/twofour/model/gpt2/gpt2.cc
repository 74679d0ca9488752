#include "twofour/model/gpt2/gpt2.h"

#include <cmath>

#include <ATen/ops/empty.h>

#include "twofour/model/embedding.h"
#include "twofour/tensor/gelu.h"

namespace twofour::model {
namespace {

at::Tensor gpt2_attention(const Gpt2Block& block, const at::Tensor& x, int64_t heads,
                          const Pass& pass) {
  const std::vector<at::Tensor> qkv = pass.linear(x, block.c_attn).chunk(3, 1);
  const auto heads_of = [&](size_t i) { return pass.split_heads(qkv[i], heads); };
  return pass.linear(pass.attend(heads_of(0), heads_of(1), heads_of(2)), block.c_proj);
}

at::Tensor gpt2_feed_forward(const Gpt2Block& block, const at::Tensor& x, const Pass& pass) {
  return pass.linear(tensor::gelu(pass.linear(x, block.mlp_c_fc)), block.mlp_c_proj);
}

}  // namespace

Gpt2Block Gpt2Block::empty(const Gpt2Config& config, const at::TensorOptions& options) {
  const int64_t width = config.width, inner = config.feed_forward;
  const auto linear = [&](int64_t out, int64_t in) { return empty_linear(out, in, true, options); };
  return {.ln_1 = empty_layer_norm(width, options),
          .c_attn = linear(3 * width, width),
          .c_proj = linear(width, width),
          .ln_2 = empty_layer_norm(width, options),
          .mlp_c_fc = linear(inner, width),
          .mlp_c_proj = linear(width, inner)};
}

Gpt2::Gpt2(const Gpt2Config& sizes, const at::TensorOptions& options) : NetworkOf(sizes) {
  wte.weight = at::empty({config.vocabulary, config.width}, options);
  wpe.weight = at::empty({config.context, config.width}, options);
  ln_f = empty_layer_norm(config.width, options);
}

void Gpt2::list_before(Listing& listing) {
  listing.table("transformer.wte", wte);
  listing.table("transformer.wpe", wpe);
}

void Gpt2::list_block(size_t i, Listing& listing) {
  Gpt2Block& block = blocks.at(i);
  const std::string prefix = "transformer.h." + std::to_string(i);
  listing.norm(prefix + ".ln_1", block.ln_1);
  listing.linear(prefix + ".attn.c_attn", block.c_attn);
  listing.linear(prefix + ".attn.c_proj", block.c_proj);
  listing.norm(prefix + ".ln_2", block.ln_2);
  listing.linear(prefix + ".mlp.c_fc", block.mlp_c_fc);
  listing.linear(prefix + ".mlp.c_proj", block.mlp_c_proj);
}

void Gpt2::list_after(Listing& listing) { listing.norm("transformer.ln_f", ln_f); }

std::vector<ChannelGroup> Gpt2::channel_groups(size_t i) {
  Gpt2Block& block = blocks.at(i);
  const Sizes sizes = this->sizes();
  std::vector<ChannelGroup> groups =
      value_channels(block.c_attn, 2 * sizes.width, sizes.head_width, block.c_proj, sizes);
  groups.push_back(hidden_units({&block.mlp_c_fc}, block.mlp_c_proj));
  return groups;
}

double Gpt2::initial_deviation(const std::string& name) const {
  const float deviation = 0.02f;
  if (!name.ends_with("c_proj")) return deviation;
  return deviation / std::sqrt(2.0f * static_cast<float>(config.layers));
}

at::Tensor Gpt2::embed(const at::Tensor& ids, int64_t first_position) const {
  return model::embed(wte, wpe, ids, first_position);
}

at::Tensor Gpt2::run_block(const at::Tensor& x, const Pass& pass) const {
  const Gpt2Block& block = blocks[pass.block];
  const double epsilon = config.layer_norm_epsilon;
  const at::Tensor attended =
      x.add(gpt2_attention(block, layer_norm(x, block.ln_1, epsilon), config.heads, pass));
  return attended.add(gpt2_feed_forward(block, layer_norm(attended, block.ln_2, epsilon), pass));
}

at::Tensor Gpt2::finish(const at::Tensor& x) const {
  return layer_norm(x, ln_f, config.layer_norm_epsilon);
}

DecodePlan Gpt2::decode_plan() const {
  DecodePlan plan = plan_for(sizes());
  plan.norm = NormKind::kLayerNorm;
  plan.norm_epsilon = config.layer_norm_epsilon;
  plan.activation = DecodeActivation::kGelu;
  plan.tokens = wte.used();
  plan.positions = wpe.used();
  for (const Gpt2Block& block : blocks) {
    plan.blocks.push_back({.attention_norm = {block.ln_1.weight, block.ln_1.bias},
                           .attention_in = {decode_linear(block.c_attn)},
                           .attention_out = decode_linear(block.c_proj),
                           .feed_forward_norm = {block.ln_2.weight, block.ln_2.bias},
                           .feed_forward_in = {decode_linear(block.mlp_c_fc)},
                           .feed_forward_out = decode_linear(block.mlp_c_proj)});
  }
  plan.last_norm = {ln_f.weight, ln_f.bias};
  plan.output = output().used();
  return plan;
}

}  // namespace twofour::model
