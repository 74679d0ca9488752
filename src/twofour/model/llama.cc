#include "twofour/model/llama.h"

#include <cmath>
#include <numbers>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>

#include "twofour/base/error.h"
#include "twofour/model/embedding.h"
#include "twofour/model/initialise.h"
#include "twofour/model/recompute.h"

namespace twofour::model {
namespace {

/// Cosine and sine of every angle, [T, d / 2], in the compute dtype.
struct Rotation {
  at::Tensor cosine, sine;
};

Rotation rotation_of(const LlamaConfig& config, int64_t first_position, int64_t tokens,
                     at::ScalarType dtype) {
  const at::Tensor positions =
      at::arange(first_position, first_position + tokens, at::TensorOptions().dtype(at::kFloat));
  const at::Tensor angles = at::outer(positions, rope_frequencies(config));
  return {angles.cos().to(dtype), angles.sin().to(dtype)};
}

// Turns the pairs (i, i + d / 2) of x [B, H, T, d] by their angles.
at::Tensor rotate(const at::Tensor& x, const Rotation& by) {
  const int64_t half = x.size(3) / 2;
  const at::Tensor first = x.narrow(3, 0, half), second = x.narrow(3, half, half);
  return at::cat({first.mul(by.cosine).sub(second.mul(by.sine)),
                  second.mul(by.cosine).add(first.mul(by.sine))},
                 3);
}

at::Tensor norm(const at::Tensor& x, const at::Tensor& weight, const LlamaConfig& config) {
  return at::rms_norm(x, {config.width}, weight, config.rms_norm_epsilon);
}

struct LayerPlace {
  int64_t batch;
  size_t layer;
  KeyValueCache* cache = nullptr;
};

at::Tensor self_attention(const LlamaBlock& block, const at::Tensor& x, const LlamaConfig& config,
                          const Rotation& rotation, const LayerPlace& place) {
  const auto heads_of = [&](const Linear& layer, int64_t heads) {
    return split_heads(sparse::linear(x, layer), place.batch, heads);
  };
  const at::Tensor queries = rotate(heads_of(block.q_proj, config.heads), rotation);
  const at::Tensor keys = rotate(heads_of(block.k_proj, config.key_value_heads), rotation);
  const at::Tensor values = heads_of(block.v_proj, config.key_value_heads);
  return sparse::linear(attend(queries, keys, values, place.cache, place.layer), block.o_proj);
}

at::Tensor feed_forward(const LlamaBlock& block, const at::Tensor& x) {
  const at::Tensor gate = at::silu(sparse::linear(x, block.gate_proj));
  return sparse::linear(gate.mul(sparse::linear(x, block.up_proj)), block.down_proj);
}

at::Tensor run_block(const LlamaBlock& block, const at::Tensor& x, const LlamaConfig& config,
                     const Rotation& rotation, const LayerPlace& place) {
  const at::Tensor attended =
      x.add(self_attention(block, norm(x, block.input_layernorm, config), config, rotation, place));
  return attended.add(feed_forward(block, norm(attended, block.post_attention_layernorm, config)));
}

at::Tensor run_blocks(const Llama& model, const at::Tensor& ids, KeyValueCache* cache,
                      bool recompute_activations) {
  const LlamaConfig& config = model.config;
  const int64_t first_position = cache ? cache->length : 0;
  check_ids(ids, first_position, config.vocabulary, config.context);
  at::Tensor x = embed({model.embed_tokens, model.forward_embed_tokens}, ids);
  const Rotation rotation = rotation_of(config, first_position, ids.size(1), x.scalar_type());
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const LayerPlace place{ids.size(0), i, cache};
    const auto block = [&model, i, &config, rotation, place](const at::Tensor& input) {
      return run_block(model.layers[i], input, config, rotation, place);
    };
    x = recompute_activations ? recompute(block, x) : block(x);
  }
  return norm(x, model.norm, config);
}

// LLaMA 3.1's factor on one frequency.
float scaled_frequency(float frequency, const RopeScaling& scaling) {
  const auto context = static_cast<float>(scaling.original_context);
  const auto low = static_cast<float>(scaling.low_frequency_factor);
  const auto high = static_cast<float>(scaling.high_frequency_factor);
  const auto factor = static_cast<float>(scaling.factor);
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
  if (wavelength > context / low) return frequency / factor;
  if (wavelength < context / high) return frequency;
  const float blend = (context / wavelength - low) / (high - low);
  return (1 - blend) * frequency / factor + blend * frequency;
}

}  // namespace

void LlamaConfig::check() const {
  const auto positive = [](const char* name, int64_t value) {
    if (value <= 0) fail_usage("{} must be positive, not {}", name, value);
  };
  positive("vocabulary", vocabulary);
  positive("context", context);
  positive("width", width);
  positive("layers", layers);
  positive("heads", heads);
  positive("key-value heads", key_value_heads);
  positive("head width", head_width);
  positive("feed-forward", feed_forward);
  if (heads % key_value_heads != 0) {
    fail_usage("{} heads are not divisible by {} key-value heads", heads, key_value_heads);
  }
  if (head_width % 2 != 0) fail_usage("head width {} is odd, rotary angles turn pairs", head_width);
}

int64_t LlamaConfig::parameters() const {
  const int64_t queries = heads * head_width, keys = key_value_heads * head_width;
  int64_t block = 2 * width * (queries + keys) + 3 * width * feed_forward + 2 * width;
  if (query_bias) block += queries + 2 * keys;
  if (attention_output_bias) block += width;
  if (feed_forward_bias) block += 2 * feed_forward + width;
  return (tied ? 1 : 2) * vocabulary * width + layers * block + width;
}

OutputMatrix Llama::output() const {
  return config.tied ? OutputMatrix{embed_tokens, forward_embed_tokens}
                     : OutputMatrix{lm_head, forward_lm_head};
}

at::Tensor rope_frequencies(const LlamaConfig& config) {
  const auto width = static_cast<double>(config.head_width);
  const at::Tensor exponents =
      at::arange(0, config.head_width, 2, at::TensorOptions().dtype(at::kFloat)).div(width);
  at::Tensor frequencies = at::pow(config.rope_theta, exponents).reciprocal();
  if (config.rope_scaling.kind == RopeScaling::Kind::kLinear) {
    frequencies.div_(config.rope_scaling.factor);
  } else if (config.rope_scaling.kind == RopeScaling::Kind::kLlama3) {
    auto* values = frequencies.mutable_data_ptr<float>();
    for (int64_t i = 0; i < frequencies.numel(); ++i) {
      values[i] = scaled_frequency(values[i], config.rope_scaling);
    }
  }
  return frequencies;
}

LlamaBlock make_empty_block(const LlamaConfig& config, const at::TensorOptions& options) {
  const auto tensor = [&](at::IntArrayRef shape) { return at::empty(shape, options); };
  const auto linear = [&](int64_t out, int64_t in, bool has_bias) {
    Linear layer;
    layer.weight = tensor({out, in});
    if (has_bias) layer.bias = tensor({out});
    return layer;
  };
  const int64_t width = config.width, inner = config.feed_forward;
  const int64_t queries = config.heads * config.head_width;
  const int64_t keys = config.key_value_heads * config.head_width;
  return {tensor({width}),
          linear(queries, width, config.query_bias),
          linear(keys, width, config.query_bias),
          linear(keys, width, config.query_bias),
          linear(width, queries, config.attention_output_bias),
          tensor({width}),
          linear(inner, width, config.feed_forward_bias),
          linear(inner, width, config.feed_forward_bias),
          linear(width, inner, config.feed_forward_bias)};
}

Llama make_empty_frame(const LlamaConfig& config, const at::TensorOptions& options) {
  config.check();
  Llama model;
  model.config = config;
  model.embed_tokens = at::empty({config.vocabulary, config.width}, options);
  model.layers.resize(static_cast<size_t>(config.layers));
  model.norm = at::empty({config.width}, options);
  if (!config.tied) model.lm_head = at::empty({config.vocabulary, config.width}, options);
  return model;
}

Llama make_empty(const LlamaConfig& config, const at::TensorOptions& options) {
  Llama model = make_empty_frame(config, options);
  for (LlamaBlock& block : model.layers) block = make_empty_block(config, options);
  return model;
}

Llama make_random(const LlamaConfig& config, uint64_t seed) {
  constexpr float kDeviation = 0.02f;
  Llama model = make_empty(config, at::kFloat);
  uint32_t index = 0;
  model.visit([&](const std::string& name, at::Tensor& tensor) {
    if (tensor.dim() == 2) {
      fill_normal(tensor, kDeviation, seed, index);
    } else {
      tensor.fill_(name.ends_with(".bias") ? 0.0 : 1.0);
    }
    ++index;
  });
  return model;
}

at::Tensor hidden_of(const Llama& model, const at::Tensor& ids, const ForwardOptions& options) {
  return run_blocks(model, ids, nullptr, options.recompute_activations);
}

at::Tensor hidden_of(const Llama& model, const at::Tensor& ids, KeyValueCache& cache) {
  check_cache(cache, ids.size(1));
  at::Tensor hidden = run_blocks(model, ids, &cache, false);
  cache.length += ids.size(1);
  return hidden;
}

KeyValueCache make_cache(const Llama& model, int64_t batch, int64_t capacity) {
  const LlamaConfig& config = model.config;
  return make_cache(config.layers, batch, config.key_value_heads, capacity, config.head_width,
                    model.embed_tokens);
}

}  // namespace twofour::model
