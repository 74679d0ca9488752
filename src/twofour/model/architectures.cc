#include "twofour/model/architectures.h"

#include <algorithm>

#include "twofour/base/error.h"
#include "twofour/model/gpt2/gpt2.h"
#include "twofour/model/gpt_neox/gpt_neox.h"
#include "twofour/model/llama/llama.h"
#include "twofour/model/opt/opt.h"
#include "twofour/model/qwen3/qwen3.h"

namespace twofour::model {
namespace {

constexpr std::string_view kGpt2Buffers[] = {".attn.bias", ".attn.masked_bias"};
constexpr std::string_view kGptNeoXBuffers[] = {".attention.bias", ".attention.masked_bias",
                                                ".rotary_emb."};
constexpr std::string_view kRotaryBuffers[] = {".rotary_emb."};

// The linear layers of the blocks.
bool is_gpt2_matrix(std::string_view name) {
  return name.find(".h.") != std::string_view::npos && name.ends_with(".weight") &&
         name.find(".ln_") == std::string_view::npos;
}

const Architecture kArchitectures[] = {
    {.model_type = "gpt2",
     .class_prefix = "GPT2",
     .prefix = "transformer.",
     .buffers = kGpt2Buffers,
     .embedding = "transformer.wte.weight",
     .is_transposed = is_gpt2_matrix,
     .read = [](ConfigReader& reader) -> ModelConfig { return read_gpt2(reader); }},
    {.model_type = "llama",
     .class_prefix = "Llama",
     .prefix = "model.",
     .buffers = kRotaryBuffers,
     .embedding = "model.embed_tokens.weight",
     .read = [](ConfigReader& reader) -> ModelConfig { return read_llama(reader, "llama"); }},
    {.model_type = "mistral",
     .class_prefix = "Mistral",
     .prefix = "model.",
     .buffers = kRotaryBuffers,
     .embedding = "model.embed_tokens.weight",
     .read = [](ConfigReader& reader) -> ModelConfig { return read_llama(reader, "mistral"); }},
    {.model_type = "qwen2",
     .class_prefix = "Qwen2",
     .prefix = "model.",
     .buffers = kRotaryBuffers,
     .embedding = "model.embed_tokens.weight",
     .read = [](ConfigReader& reader) -> ModelConfig { return read_llama(reader, "qwen2"); }},
    {.model_type = "qwen3",
     .class_prefix = "Qwen3",
     .prefix = "model.",
     .buffers = kRotaryBuffers,
     .embedding = "model.embed_tokens.weight",
     .read = [](ConfigReader& reader) -> ModelConfig { return read_qwen3(reader); }},
    {.model_type = "gpt_neox",
     .class_prefix = "GPTNeoX",
     .prefix = "gpt_neox.",
     .buffers = kGptNeoXBuffers,
     .embedding = "gpt_neox.embed_in.weight",
     .output = "embed_out.weight",
     .read = [](ConfigReader& reader) -> ModelConfig { return read_gpt_neox(reader); }},
    {.model_type = "opt",
     .class_prefix = "OPT",
     .prefix = "model.",
     .buffers = {},
     .embedding = "model.decoder.embed_tokens.weight",
     .read = [](ConfigReader& reader) -> ModelConfig { return read_opt(reader); }},
};

std::unique_ptr<Network> network_of(const Gpt2Config& config, const at::TensorOptions& options) {
  return std::make_unique<Gpt2>(config, options);
}
std::unique_ptr<Network> network_of(const LlamaConfig& config, const at::TensorOptions& options) {
  return std::make_unique<Llama>(config, options);
}
std::unique_ptr<Network> network_of(const Qwen3Config& config, const at::TensorOptions& options) {
  return std::make_unique<Qwen3>(config, options);
}
std::unique_ptr<Network> network_of(const GptNeoXConfig& config, const at::TensorOptions& options) {
  return std::make_unique<GptNeoX>(config, options);
}
std::unique_ptr<Network> network_of(const OptConfig& config, const at::TensorOptions& options) {
  return std::make_unique<Opt>(config, options);
}

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

const Architecture* find_architecture(std::string_view model_type) {
  const auto found =
      std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                   [&](const Architecture& each) { return each.model_type == model_type; });
  return found == std::end(kArchitectures) ? nullptr : &*found;
}

const Architecture& architecture_of(const ModelConfig& config) {
  const std::string model_type = model_type_of(config);
  const Architecture* found = find_architecture(model_type);
  if (!found) fail("no architecture is called \"{}\"", printable(model_type));
  return *found;
}

std::string model_type_of(const ModelConfig& config) {
  return std::visit([](const auto& each) { return each.model_type(); }, config);
}

Sizes sizes_of(const ModelConfig& config) {
  return std::visit([](const auto& each) { return sizes_from(each); }, config);
}

ModelConfig with_sizes(ModelConfig config, const Sizes& sizes) {
  std::visit([&](auto& each) { set_sizes(each, sizes); }, config);
  return config;
}

int64_t usual_feed_forward(const ModelConfig& config, int64_t width) {
  return std::visit([&](const auto& each) { return each.usual_feed_forward(width); }, config);
}

void check(const ModelConfig& config) {
  std::visit([](const auto& each) { each.check(); }, config);
}

nlohmann::ordered_json config_json(const ModelConfig& config) {
  return std::visit([](const auto& each) { return config_json(each); }, config);
}

std::unique_ptr<Network> make_network(const ModelConfig& config, const at::TensorOptions& options) {
  return std::visit([&](const auto& each) { return network_of(each, options); }, config);
}

}  // namespace twofour::model
