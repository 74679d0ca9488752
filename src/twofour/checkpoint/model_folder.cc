#include "twofour/checkpoint/model_folder.h"

#include <algorithm>
#include <map>
#include <set>

#include <ATen/ops/equal.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/mask_files.h"

namespace twofour::checkpoint {
namespace {

constexpr const char* kOutput = "lm_head.weight";

// GPT-2's files hold their linears as [in, out] (Conv1D).
bool is_transposed(const model::ModelConfig& config, const std::string& name) {
  return std::holds_alternative<model::Gpt2Config>(config) &&
         name.find(".h.") != std::string::npos && name.ends_with(".weight") &&
         name.find(".ln_") == std::string::npos;
}

// What some files hold beside the parameters: the causal mask, RoPE's frequencies.
bool is_buffer(const std::string& name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") ||
         name.ends_with(".rotary_emb.inv_freq");
}

std::string list(const std::set<std::string>& names) {
  if (names.empty()) return "none";
  std::string text;
  int shown = 0;
  for (const std::string& name : names) {
    if (++shown > 5) return text + fmt::format(" and {} more", names.size() - 5);
    text += (text.empty() ? "\"" : ", \"") + printable(name) + "\"";
  }
  return text;
}

std::string shape_text(at::IntArrayRef shape) { return fmt::format("{}", fmt::join(shape, "x")); }

std::string prefix_of(const model::ModelConfig& config) {
  return std::holds_alternative<model::Gpt2Config>(config) ? "transformer." : "model.";
}

std::string first_name(const model::ModelConfig& config) {
  return prefix_of(config) +
         (std::holds_alternative<model::Gpt2Config>(config) ? "wte.weight" : "embed_tokens.weight");
}

bool is_tied(const model::ModelConfig& config) {
  const auto* llama = std::get_if<model::LlamaConfig>(&config);
  return !llama || llama->tied;
}

// The id of "<|endoftext|>" in a tokenizer.json of this program's making, or none.
SpecialIds special_of_tokenizer(const fs::path& tokenizer) {
  SpecialIds special;
  const fs::path path = tokenizer / "tokenizer.json";
  if (tokenizer.empty() || !fs::exists(path)) return special;
  const auto json = nlohmann::json::parse(read_file(path, kLargestVocabulary), nullptr,
                                          /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("added_tokens")) return special;
  for (const auto& token : json["added_tokens"]) {
    if (token.value("content", "") == "<|endoftext|>") {
      special.begin = token.at("id").get<int64_t>();
      special.end = {*special.begin};
    }
  }
  return special;
}

void copy_tokenizer(const fs::path& from, const fs::path& to) {
  for (const std::string& file : tokenizer_files()) {
    if (!from.empty() && fs::exists(from / file))
      write_file(to / file, read_file(from / file, kLargestVocabulary));
  }
}

}  // namespace

const std::set<std::string>& tokenizer_files() {
  static const std::set<std::string> kFiles = {
      "added_tokens.json",       "encoder.json",   "merges.txt",
      "special_tokens_map.json", "tokenizer.json", "tokenizer.model",
      "tokenizer_config.json",   "vocab.bpe",      "vocab.json"};
  return kFiles;
}

ModelFolder::ModelFolder(const fs::path& folder)
    : config_(read_config(folder)), weights_(folder, config_.compression) {
  const std::string prefix = prefix_of(config_.model), first = first_name(config_.model);
  if (!weights_.contains(first) && weights_.contains(first.substr(prefix.size()))) {
    left_out_ = prefix;
  }
  check();
}

std::string ModelFolder::stored_name(const std::string& name) const {
  return name.starts_with(left_out_) ? name.substr(left_out_.size()) : name;
}

void ModelFolder::check() const {
  std::set<std::string> unexpected, missing;
  for (const std::string& name : weights_.names()) {
    if (!is_buffer(name)) unexpected.insert(name);
  }
  model::make_shapes(config_.model).visit([&](const std::string& full_name, at::Tensor& tensor) {
    const std::string name = stored_name(full_name);
    unexpected.erase(name);
    if (!weights_.contains(name)) {
      missing.insert(name);
      return;
    }
    const ModelWeights::Weight& entry = weights_.entry(name);
    std::vector<int64_t> shape = entry.shape;
    if (is_transposed(config_.model, full_name)) std::reverse(shape.begin(), shape.end());
    if (at::IntArrayRef(shape) != tensor.sizes() || !at::isFloatingType(entry.dtype)) {
      fail("cannot load \"{}\": tensor \"{}\" is {} {}, config.json asks for floats {}",
           path().string(), name, c10::toString(entry.dtype), shape_text(shape),
           shape_text(tensor.sizes()));
    }
  });
  const bool has_tied_output =
      is_tied(config_.model) && weights_.contains(kOutput) && missing.empty();
  if (has_tied_output) unexpected.erase(kOutput);
  if (!missing.empty() || !unexpected.empty()) {
    fail("cannot load \"{}\": missing tensors: {}; unexpected tensors: {}", path().string(),
         list(missing), list(unexpected));
  }
  if (has_tied_output) check_tied_output(first_name(config_.model));
}

void ModelFolder::check_tied_output(const std::string& embedding) const {
  if (at::equal(weights_.view(kOutput), weights_.view(stored_name(embedding)))) return;
  fail(
      "cannot load \"{}\": its {} differs from the token embedding, but config.json says that they "
      "are tied",
      path().string(), kOutput);
}

at::Tensor ModelFolder::stored(const std::string& name) const {
  const at::Tensor tensor = weights_.view(stored_name(name));
  return is_transposed(config_.model, name) ? tensor.t() : tensor;
}

void ModelFolder::fill(const std::string& name, at::Tensor& tensor) const {
  tensor.copy_(stored(name));
  weights_.release(stored_name(name));
}

model::Model ModelFolder::load(at::ScalarType dtype) const {
  const at::NoGradGuard no_gradients;
  model::Model model = model::make_empty(config_.model, dtype);
  model.visit([&](const std::string& name, at::Tensor& tensor) { fill(name, tensor); });
  return model;
}

model::Model ModelFolder::load_frame(at::ScalarType dtype) const {
  const at::NoGradGuard no_gradients;
  model::Model model = model::make_empty_frame(config_.model, dtype);
  model.visit_frame([&](const std::string& name, at::Tensor& tensor) { fill(name, tensor); });
  return model;
}

void ModelFolder::load_block(model::Model& model, int64_t i, at::ScalarType dtype) const {
  const at::NoGradGuard no_gradients;
  model::make_empty_block(model, i, dtype);
  model.visit_block(i, [&](const std::string& name, at::Tensor& tensor) { fill(name, tensor); });
}

void ModelFolder::for_each(
    const std::function<void(const std::string&, const at::Tensor&)>& fn) const {
  model::make_shapes(config_.model).visit([&](const std::string& name, at::Tensor&) {
    fn(name, stored(name));
    weights_.release(stored_name(name));
  });
}

model::Model load_model(const fs::path& folder, at::ScalarType dtype) {
  return ModelFolder(folder).load(dtype);
}

void save_model(const fs::path& folder, const model::Model& model, const SaveOptions& options) {
  const at::NoGradGuard no_gradients;
  AtomicFolder target(folder);
  std::vector<TensorToWrite> tensors;
  WeightShapes shapes;
  const model::ModelConfig config = model.config();
  model::Model handles = model;  // the same tensors: visit is not const
  handles.visit([&](const std::string& name, at::Tensor& tensor) {
    const at::ScalarType dtype = options.dtype.value_or(tensor.scalar_type());
    const at::Tensor stored = is_transposed(config, name) ? tensor.detach().t() : tensor.detach();
    tensors.push_back({name, dtype, stored.sizes().vec(),
                       [stored, dtype] { return stored.to(dtype).contiguous(); }});
    shapes[name] = tensor.sizes().vec();
  });
  SpecialIds special = options.special;
  if (!special.begin && special.end.empty()) special = special_of_tokenizer(options.tokenizer);
  const auto json = config_json(config, special, tensors[0].dtype);
  write_file(target.path() / "config.json", json.dump(2) + "\n");
  write_weights(target.path(), tensors, options.largest_shard, {{"format", "pt"}});
  if (!options.masks.empty()) {
    write_masks(target.path() / "masks.safetensors", options.masks, shapes);
  }
  copy_tokenizer(options.tokenizer, target.path());
  target.commit();
}

}  // namespace twofour::checkpoint
