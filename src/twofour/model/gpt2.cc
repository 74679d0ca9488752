#include "twofour/model/gpt2.h"

#include <cmath>

#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "twofour/base/error.h"
#include "twofour/model/embedding.h"
#include "twofour/model/initialise.h"
#include "twofour/model/recompute.h"
#include "twofour/sparse/gelu.h"
#include "twofour/sparse/pattern.h"

namespace twofour::model {
namespace {

at::Tensor norm(const at::Tensor& x, const LayerNorm& layer, double epsilon) {
  return at::layer_norm(x, {x.size(-1)}, layer.weight, layer.bias, epsilon);
}

// [N, D] as [B, H, T, D / H] without a copy.
at::Tensor split_heads(const at::Tensor& x, int64_t batch, int64_t heads) {
  const int64_t width = x.size(1);
  return x.view({batch, -1, heads, width / heads}).transpose(1, 2);
}

at::Tensor join_heads(const at::Tensor& x) {
  return x.transpose(1, 2).reshape({x.size(0) * x.size(2), x.size(1) * x.size(3)});
}

struct Attention {
  int64_t batch, heads;
  KeyValueCache* cache = nullptr;
  size_t layer = 0;
};

// Appends keys and values [B, H, T, d] to the cache and returns all of them.
void extend(KeyValueCache& cache, size_t layer, at::Tensor& keys, at::Tensor& values) {
  const int64_t added = keys.size(2), length = cache.length + added;
  cache.keys[layer].narrow(2, cache.length, added).copy_(keys);
  cache.values[layer].narrow(2, cache.length, added).copy_(values);
  keys = cache.keys[layer].narrow(2, 0, length);
  values = cache.values[layer].narrow(2, 0, length);
}

at::Tensor attend(const Gpt2Block& block, const at::Tensor& x, const Attention& attention) {
  const std::vector<at::Tensor> qkv = sparse::linear(x, block.c_attn).chunk(3, 1);
  const at::Tensor queries = split_heads(qkv[0], attention.batch, attention.heads);
  at::Tensor keys = split_heads(qkv[1], attention.batch, attention.heads);
  at::Tensor values = split_heads(qkv[2], attention.batch, attention.heads);
  if (attention.cache) extend(*attention.cache, attention.layer, keys, values);
  // A single query sees everything in the cache; several see a triangle.
  const bool causal = queries.size(2) > 1;
  const at::Tensor mixed =
      at::scaled_dot_product_attention(queries, keys, values, {}, /*dropout_p=*/0.0, causal);
  return sparse::linear(join_heads(mixed), block.c_proj);
}

at::Tensor feed_forward(const Gpt2Block& block, const at::Tensor& x) {
  return sparse::linear(sparse::gelu(sparse::linear(x, block.mlp_c_fc)), block.mlp_c_proj);
}

at::Tensor run_block(const Gpt2Block& block, const at::Tensor& x, double epsilon,
                     const Attention& attention) {
  const at::Tensor attended = x.add(attend(block, norm(x, block.ln_1, epsilon), attention));
  return attended.add(feed_forward(block, norm(attended, block.ln_2, epsilon)));
}

void check_ids(const Gpt2Config& config, const at::Tensor& ids, int64_t first_position) {
  const int64_t last = first_position + ids.size(1);
  if (last > config.context) {
    fail("{} tokens are more than the model's context of {}", last, config.context);
  }
  if (ids.numel() == 0) fail("no tokens to run the model on");
  const int64_t largest = ids.max().item<int64_t>(), smallest = ids.min().item<int64_t>();
  if (smallest < 0 || largest >= config.vocabulary) {
    fail("token id {} is outside the model's vocabulary of {}", smallest < 0 ? smallest : largest,
         config.vocabulary);
  }
}

at::Tensor run_blocks(const Gpt2& model, const at::Tensor& ids, KeyValueCache* cache,
                      bool recompute_activations) {
  const int64_t first_position = cache ? cache->length : 0;
  check_ids(model.config, ids, first_position);
  const double epsilon = model.config.layer_norm_epsilon;
  at::Tensor x = embed(model, ids, first_position);
  for (size_t i = 0; i < model.h.size(); ++i) {
    const Attention attention{ids.size(0), model.config.heads, cache, i};
    const auto block = [&model, i, epsilon, attention](const at::Tensor& input) {
      return run_block(model.h[i], input, epsilon, attention);
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

Gpt2 make_empty_gpt2(const Gpt2Config& config, at::ScalarType dtype) {
  config.check();
  const auto tensor = [&](at::IntArrayRef shape) {
    return at::empty(shape, at::TensorOptions().dtype(dtype));
  };
  const auto norm = [&] { return LayerNorm{tensor({config.width}), tensor({config.width})}; };
  const auto linear = [&](int64_t out, int64_t in) {
    Linear layer;
    layer.weight = tensor({out, in});
    layer.bias = tensor({out});
    return layer;
  };
  Gpt2 model;
  model.config = config;
  model.wte = tensor({config.vocabulary, config.width});
  model.wpe = tensor({config.context, config.width});
  for (int64_t i = 0; i < config.layers; ++i) {
    model.h.push_back(
        {norm(), linear(3 * config.width, config.width), linear(config.width, config.width), norm(),
         linear(config.feed_forward, config.width), linear(config.width, config.feed_forward)});
  }
  model.ln_f = norm();
  return model;
}

int64_t use_24_kernels(Gpt2& model) {
  int64_t layers = 0;
  model.visit_linears([&](const std::string&, Linear& linear) {
    if (linear.weight.size(1) % 4 != 0 || sparse::violations24(linear.weight) > 0) return;
    linear.weight24 = c10::make_intrusive<sparse::Weight24>(sparse::Along::kRows);
    ++layers;
  });
  return layers;
}

Gpt2 make_gpt2(const Gpt2Config& config, uint64_t seed) {
  constexpr float kDeviation = 0.02f;
  const float residual = kDeviation / std::sqrt(2.0f * static_cast<float>(config.layers));
  Gpt2 model = make_empty_gpt2(config, at::kFloat);
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

at::Tensor gpt2_hidden(const Gpt2& model, const at::Tensor& ids, const ForwardOptions& options) {
  return run_blocks(model, ids, nullptr, options.recompute_activations);
}

at::Tensor gpt2_hidden(const Gpt2& model, const at::Tensor& ids, KeyValueCache& cache) {
  if (ids.size(1) > 1 && cache.length > 0) {
    fail("several tokens at once can only begin a sequence: the cache already holds {}",
         cache.length);
  }
  if (cache.length + ids.size(1) > cache.keys.at(0).size(2)) {
    fail("the cache has room for {} tokens", cache.keys[0].size(2));
  }
  at::Tensor hidden = run_blocks(model, ids, &cache, false);
  cache.length += ids.size(1);
  return hidden;
}

KeyValueCache make_cache(const Gpt2& model, int64_t batch, int64_t capacity) {
  const Gpt2Config& config = model.config;
  KeyValueCache cache;
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::vector<int64_t> shape = {batch, config.heads, capacity, config.width / config.heads};
    cache.keys.push_back(at::empty(shape, model.wte.options()));
    cache.values.push_back(at::empty(shape, model.wte.options()));
  }
  return cache;
}

at::Tensor gpt2_logits(const Gpt2& model, const at::Tensor& hidden) {
  const at::Tensor& output = model.forward_wte.defined() ? model.forward_wte : model.wte;
  return sparse::forward_product(hidden, output, {});
}

}  // namespace twofour::model
