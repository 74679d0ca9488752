#include "twofour/checkpoint/model_folder.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include <ATen/ops/equal.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/weight_files.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPrefix = "transformer.";
constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "vocab.json",     "encoder.json",          "merges.txt",
    "vocab.bpe",      "tokenizer.model"};

Json read_json(const fs::path& path) {
  Json json = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) fail("cannot read \"{}\": it is not a JSON object", path.string());
  return json;
}

// Fields that change what the model computes, and the values under which this program computes it.
void check_supported(const Json& config, const std::string& path) {
  const auto require = [&](const char* field, const std::vector<Json>& supported) {
    if (!config.contains(field)) return;
    const Json& value = config[field];
    if (std::find(supported.begin(), supported.end(), value) != supported.end()) return;
    fail("cannot load \"{}\": {} {} is not supported", path, field, printable(value.dump()));
  };
  require("activation_function", {"gelu_new", "gelu_pytorch_tanh"});
  require("scale_attn_weights", {true});
  require("scale_attn_by_inverse_layer_idx", {false});
  require("add_cross_attention", {false});
  require("tie_word_embeddings", {true});
  require("is_decoder", {false, true});
}

int64_t size_in(const Json& config, const char* field, const std::string& path) {
  if (!config.contains(field) || !config[field].is_number_integer()) {
    fail("cannot load \"{}\": {} is missing or no whole number", path, field);
  }
  const auto value = config[field].get<int64_t>();
  if (value <= 0 || value > (int64_t{1} << 31)) {
    fail("cannot load \"{}\": {} is {}, which no model has", path, field, value);
  }
  return value;
}

bool is_linear_weight(const std::string& name) {
  return name.find(".h.") != std::string::npos && name.ends_with(".weight") &&
         name.find(".ln_") == std::string::npos;
}

std::string list(const std::set<std::string>& names) {
  std::string text;
  int shown = 0;
  for (const std::string& name : names) {
    if (++shown > 5) return text + fmt::format(" and {} more", names.size() - 5);
    text += (text.empty() ? "\"" : ", \"") + printable(name) + "\"";
  }
  return text;
}

// What older files hold beside the parameters: the causal mask as a buffer.
bool is_buffer(const std::string& name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

Json make_config(const model::Gpt2Config& config, std::optional<int64_t> end_of_text) {
  Json json = {{"architectures", {"GPT2LMHeadModel"}},
               {"model_type", "gpt2"},
               {"vocab_size", config.vocabulary},
               {"n_positions", config.context},
               {"n_ctx", config.context},
               {"n_embd", config.width},
               {"n_layer", config.layers},
               {"n_head", config.heads},
               {"n_inner", config.feed_forward},
               {"activation_function", "gelu_new"},
               {"layer_norm_epsilon", config.layer_norm_epsilon},
               {"resid_pdrop", 0.0},
               {"embd_pdrop", 0.0},
               {"attn_pdrop", 0.0},
               {"initializer_range", 0.02},
               {"scale_attn_weights", true},
               {"tie_word_embeddings", true},
               {"torch_dtype", "float32"}};
  // null, not absent: transformers would assume GPT-2's own id.
  json["bos_token_id"] = end_of_text ? Json(*end_of_text) : Json();
  json["eos_token_id"] = json["bos_token_id"];
  return json;
}

// The id of "<|endoftext|>" in a tokenizer.json of this program's making, or none.
std::optional<int64_t> end_of_text_id(const fs::path& tokenizer) {
  const fs::path path = tokenizer / "tokenizer.json";
  if (tokenizer.empty() || !fs::exists(path)) return std::nullopt;
  const Json json = read_json(path);
  if (!json.contains("added_tokens") || !json["added_tokens"].is_array()) return std::nullopt;
  for (const Json& token : json["added_tokens"]) {
    if (token.value("content", "") == "<|endoftext|>") return token.at("id").get<int64_t>();
  }
  return std::nullopt;
}

}  // namespace

model::Gpt2Config read_gpt2_config(const fs::path& folder) {
  const std::string path = (folder / "config.json").string();
  const Json json = read_json(path);
  const std::string type = json.contains("model_type") && json["model_type"].is_string()
                               ? json["model_type"].get<std::string>()
                               : "";
  if (type != "gpt2") {
    fail("cannot load \"{}\": model_type \"{}\" is not supported, expected gpt2", path,
         printable(type));
  }
  check_supported(json, path);
  model::Gpt2Config config;
  config.vocabulary = size_in(json, "vocab_size", path);
  config.context = size_in(json, "n_positions", path);
  config.width = size_in(json, "n_embd", path);
  config.layers = size_in(json, "n_layer", path);
  config.heads = size_in(json, "n_head", path);
  const bool has_inner = json.contains("n_inner") && !json["n_inner"].is_null();
  config.feed_forward = has_inner ? size_in(json, "n_inner", path) : 4 * config.width;
  if (json.contains("layer_norm_epsilon")) {
    if (!json["layer_norm_epsilon"].is_number()) {
      fail("cannot load \"{}\": layer_norm_epsilon is no number", path);
    }
    config.layer_norm_epsilon = json["layer_norm_epsilon"].get<double>();
  }
  if (config.width % config.heads != 0) {
    fail("cannot load \"{}\": n_embd {} is not divisible by n_head {}", path, config.width,
         config.heads);
  }
  return config;
}

model::Gpt2 load_gpt2(const fs::path& folder, at::ScalarType dtype) {
  const at::NoGradGuard no_gradients;
  const model::Gpt2Config config = read_gpt2_config(folder);
  const WeightFiles weights(folder);
  const std::vector<std::string> names = weights.names();
  std::set<std::string> unexpected(names.begin(), names.end()), missing;
  const bool has_prefix = weights.contains("transformer.wte.weight");
  const std::string output = "lm_head.weight";
  model::Gpt2 model;
  model.config = config;
  model = model::make_empty_gpt2(config, dtype);
  model.visit([&](const std::string& full_name, at::Tensor& tensor) {
    const std::string name = has_prefix ? full_name : full_name.substr(std::strlen(kPrefix));
    unexpected.erase(name);
    if (!weights.contains(name)) {
      missing.insert(name);
      return;
    }
    at::Tensor stored = weights.view(name);
    if (is_linear_weight(full_name) && stored.dim() == 2) stored = stored.t();
    if (stored.sizes() != tensor.sizes() || !at::isFloatingType(stored.scalar_type())) {
      fail("cannot load \"{}\": tensor \"{}\" is {} {}, config.json asks for floats {}",
           folder.string(), name, c10::toString(stored.scalar_type()),
           fmt::format("{}", fmt::join(stored.sizes(), "x")),
           fmt::format("{}", fmt::join(tensor.sizes(), "x")));
    }
    tensor.copy_(stored);
    weights.release(name);
  });
  if (weights.contains(output) && missing.empty()) {
    unexpected.erase(output);
    const at::Tensor embedding = weights.view(has_prefix ? "transformer.wte.weight" : "wte.weight");
    if (!at::equal(weights.view(output), embedding)) {
      fail(
          "cannot load \"{}\": its {} differs from the token embedding; only tied weights are "
          "supported",
          folder.string(), output);
    }
  }
  std::erase_if(unexpected, is_buffer);
  if (!missing.empty() || !unexpected.empty()) {
    fail("cannot load \"{}\": missing tensors: {}; unexpected tensors: {}", folder.string(),
         missing.empty() ? "none" : list(missing), unexpected.empty() ? "none" : list(unexpected));
  }
  return model;
}

void save_gpt2(const fs::path& folder, model::Gpt2& model, const NamedTensors& masks,
               const fs::path& tokenizer) {
  const at::NoGradGuard no_gradients;
  AtomicFolder target(folder);
  const Json config = make_config(model.config, end_of_text_id(tokenizer));
  write_file(target.path() / "config.json", config.dump(2) + "\n");
  NamedTensors tensors;
  std::map<std::string, std::string> shapes;
  model.visit([&](const std::string& name, at::Tensor& tensor) {
    tensors.emplace_back(name, is_linear_weight(name) ? tensor.detach().t() : tensor.detach());
    shapes[name] = fmt::format("[{}]", fmt::join(tensor.sizes(), ", "));
  });
  write_safetensors(target.path() / "model.safetensors", tensors, {{"format", "pt"}});
  if (!masks.empty()) {
    NamedTensors named;
    std::map<std::string, std::string> metadata;
    for (const auto& [name, mask] : masks) {
      named.emplace_back(name + ".mask", mask);
      metadata[name + ".mask"] = shapes.at(name);
    }
    write_safetensors(target.path() / "masks.safetensors", named, metadata);
  }
  for (const char* file : kTokenizerFiles) {
    if (!tokenizer.empty() && fs::exists(tokenizer / file)) {
      write_file(target.path() / file, read_file(tokenizer / file));
    }
  }
  target.commit();
}

}  // namespace twofour::checkpoint
