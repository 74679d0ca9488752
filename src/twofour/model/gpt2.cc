#include "twofour/model/gpt2.h"

#include <cmath>

#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>

#include "twofour/base/error.h"
#include "twofour/model/embedding.h"
#include "twofour/model/initialise.h"
#include "twofour/model/recompute.h"
#include "twofour/tensor/gelu.h"

namespace twofour::model {
namespace {

at::Tensor norm(const at::Tensor& x, const LayerNorm& layer, double epsilon) {
  return at::layer_norm(x, {x.size(-1)}, layer.weight, layer.bias, epsilon);
}

struct Place {
  int64_t batch, heads;
  size_t layer;
  KeyValueCache* cache = nullptr;
};

at::Tensor self_attention(const Gpt2Block& block, const at::Tensor& x, const Place& place) {
  const std::vector<at::Tensor> qkv = sparse::linear(x, block.c_attn).chunk(3, 1);
  const auto heads_of = [&](size_t i) { return split_heads(qkv[i], place.batch, place.heads); };
  const at::Tensor mixed = attend(heads_of(0), heads_of(1), heads_of(2), place.cache, place.layer);
  return sparse::linear(mixed, block.c_proj);
}

at::Tensor feed_forward(const Gpt2Block& block, const at::Tensor& x) {
  return sparse::linear(tensor::gelu(sparse::linear(x, block.mlp_c_fc)), block.mlp_c_proj);
}

at::Tensor run_block(const Gpt2Block& block, const at::Tensor& x, double epsilon,
                     const Place& place) {
  const at::Tensor attended = x.add(self_attention(block, norm(x, block.ln_1, epsilon), place));
  return attended.add(feed_forward(block, norm(attended, block.ln_2, epsilon)));
}

at::Tensor run_blocks(const Gpt2& model, const at::Tensor& ids, KeyValueCache* cache,
                      bool recompute_activations) {
  const int64_t first_position = cache ? cache->length : 0;
  check_ids(ids, first_position, model.config.vocabulary, model.config.context);
  const double epsilon = model.config.layer_norm_epsilon;
  at::Tensor x =
      embed({model.wte, model.forward_wte, model.wpe, model.forward_wpe}, ids, first_position);
  for (size_t i = 0; i < model.h.size(); ++i) {
    const Place place{ids.size(0), model.config.heads, i, cache};
    const auto block = [&model, i, epsilon, place](const at::Tensor& input) {
      return run_block(model.h[i], input, epsilon, place);
    };
    x = recompute_activations ? recompute(block, x) : block(x);
  }
  return norm(x, model.ln_f, epsilon);
}

}  // namespace

void Gpt2Config::check() const {
  const auto positive = [](const char* name, int64_t value) {
    if (value <= 0) fail_usage("{} must be positive, not {}", name, value);
  };
  positive("vocabulary", vocabulary);
  positive("context", context);
  positive("width", width);
  positive("layers", layers);
  positive("heads", heads);
  positive("feed-forward", feed_forward);
  if (width % heads != 0) {
    fail_usage("width {} is not divisible by the number of heads {}", width, heads);
  }
}

int64_t Gpt2Config::parameters() const {
  const int64_t attention = 4 * width * width + 4 * width;
  const int64_t mlp = 2 * width * feed_forward + width + feed_forward;
  return (vocabulary + context) * width + layers * (attention + mlp + 4 * width) + 2 * width;
}

Gpt2Block make_empty_block(const Gpt2Config& config, const at::TensorOptions& options) {
  const auto tensor = [&](at::IntArrayRef shape) { return at::empty(shape, options); };
  const auto norm = [&] { return LayerNorm{tensor({config.width}), tensor({config.width})}; };
  const auto linear = [&](int64_t out, int64_t in) {
    Linear layer;
    layer.weight = tensor({out, in});
    layer.bias = tensor({out});
    return layer;
  };
  return {
      norm(), linear(3 * config.width, config.width),    linear(config.width, config.width),
      norm(), linear(config.feed_forward, config.width), linear(config.width, config.feed_forward)};
}

Gpt2 make_empty_frame(const Gpt2Config& config, const at::TensorOptions& options) {
  config.check();
  Gpt2 model;
  model.config = config;
  model.wte = at::empty({config.vocabulary, config.width}, options);
  model.wpe = at::empty({config.context, config.width}, options);
  model.h.resize(static_cast<size_t>(config.layers));
  model.ln_f = {at::empty({config.width}, options), at::empty({config.width}, options)};
  return model;
}

Gpt2 make_empty(const Gpt2Config& config, const at::TensorOptions& options) {
  Gpt2 model = make_empty_frame(config, options);
  for (Gpt2Block& block : model.h) block = make_empty_block(config, options);
  return model;
}

Gpt2 make_random(const Gpt2Config& config, uint64_t seed) {
  constexpr float kDeviation = 0.02f;
  const float residual = kDeviation / std::sqrt(2.0f * static_cast<float>(config.layers));
  Gpt2 model = make_empty(config, at::kFloat);
  uint32_t index = 0;
  model.visit([&](const std::string& name, at::Tensor& tensor) {
    if (tensor.dim() == 2) {
      const bool into_residual = name.ends_with("c_proj.weight");
      fill_normal(tensor, into_residual ? residual : kDeviation, seed, index);
    } else {
      tensor.fill_(name.ends_with(".weight") ? 1.0 : 0.0);
    }
    ++index;
  });
  return model;
}

at::Tensor hidden_of(const Gpt2& model, const at::Tensor& ids, const ForwardOptions& options) {
  return run_blocks(model, ids, nullptr, options.recompute_activations);
}

at::Tensor hidden_of(const Gpt2& model, const at::Tensor& ids, KeyValueCache& cache) {
  check_cache(cache, ids.size(1));
  at::Tensor hidden = run_blocks(model, ids, &cache, false);
  cache.length += ids.size(1);
  return hidden;
}

DecodePlan decode_plan(const Gpt2& model) {
  const Gpt2Config& config = model.config;
  DecodePlan plan;
  plan.context = config.context;
  plan.heads = plan.key_value_heads = config.heads;
  plan.head_width = config.width / config.heads;
  plan.feed_forward = config.feed_forward;
  plan.norm = NormKind::kLayerNorm;
  plan.norm_epsilon = config.layer_norm_epsilon;
  plan.activation = kernels::Activation::kGelu;
  plan.tokens = model.forward_wte.defined() ? model.forward_wte : model.wte;
  plan.positions = model.forward_wpe.defined() ? model.forward_wpe : model.wpe;
  for (const Gpt2Block& block : model.h) {
    plan.blocks.push_back({{block.ln_1.weight, block.ln_1.bias},
                           {decode_linear(block.c_attn)},
                           decode_linear(block.c_proj),
                           {block.ln_2.weight, block.ln_2.bias},
                           {decode_linear(block.mlp_c_fc)},
                           decode_linear(block.mlp_c_proj)});
  }
  plan.last_norm = {model.ln_f.weight, model.ln_f.bias};
  plan.output = model.output().used();
  return plan;
}

KeyValueCache make_cache(const Gpt2& model, int64_t batch, int64_t capacity) {
  const Gpt2Config& config = model.config;
  return make_cache(config.layers, batch, config.heads, capacity, config.width / config.heads,
                    model.wte);
}

}  // namespace twofour::model
