#include "twofour/checkpoint/model_folder.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include <ATen/ops/equal.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/progress.h"
#include "twofour/checkpoint/json_file.h"
#include "twofour/checkpoint/mask_files.h"
#include "twofour/checkpoint/masked_weights.h"
#include "twofour/checkpoint/run_weights.h"
#include "twofour/tensor/dtype.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;

uint64_t entries_of(model::Model& model) {
  uint64_t entries = 0;
  model.visit([&](const std::string&, at::Tensor& tensor) {
    entries += static_cast<uint64_t>(tensor.numel());
  });
  return entries;
}

// Tensors of some files that are no parameters: the causal mask, RoPE's frequencies and tables.
bool is_buffer(const model::Architecture& architecture, const std::string& name) {
  const auto is_in_name = [&](std::string_view part) {
    return name.find(part) != std::string::npos;
  };
  return std::any_of(architecture.buffers.begin(), architecture.buffers.end(), is_in_name);
}

bool is_weight_type(at::ScalarType dtype) {
  return dtype == at::kDouble || dtype == at::kFloat || dtype == at::kHalf ||
         dtype == at::kBFloat16 || dtype == at::kFloat8_e4m3fn || dtype == at::kFloat8_e5m2;
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

std::string type_text(at::ScalarType dtype) {
  if (is_weight_type(dtype)) return tensor::dtype_name(dtype);
  std::string name = c10::toString(dtype);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

std::string shape_text(at::IntArrayRef shape) { return fmt::format("{}", fmt::join(shape, "x")); }

// Prefixes in files that saved the state of a wrapper instead of the model.
std::string wrapper_of(const std::set<std::string>& missing, const std::set<std::string>& there) {
  for (const char* wrapper : {"module.", "_orig_mod.", "base_model.model.", "model."}) {
    const auto is_there = [&](const std::string& name) { return there.contains(wrapper + name); };
    if (std::all_of(missing.begin(), missing.end(), is_there)) return wrapper;
  }
  return "";
}

[[noreturn]] void fail_missing(const fs::path& path, const std::set<std::string>& missing,
                               const std::set<std::string>& unexpected) {
  const std::string wrapper = wrapper_of(missing, unexpected);
  if (wrapper.empty()) {
    fail("cannot load \"{}\": missing tensors: {}; unexpected tensors: {}", path.string(),
         list(missing), list(unexpected));
  }
  fail(
      "cannot load \"{}\": the names of its tensors begin with \"{}\", which a wrapper around the "
      "model put there: save the state of the model itself, or remove it from the names",
      path.string(), wrapper);
}

// The id of "<|endoftext|>" in a tokenizer.json of this program, or none.
Json read_json_object(const fs::path& path, uint64_t limit) {
  if (!fs::exists(path)) return Json::object();
  const Json json = Json::parse(read_file(path, limit), nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json::object();
}

// Null if absent.
const Json& member(const Json& json, const std::string& name) {
  static const Json kNull;
  if (!json.is_object()) return kNull;
  const auto found = json.find(name);
  return found == json.end() ? kNull : *found;
}

// tokenizer_config.json has a token as text or as an object with its content.
std::string token_named(const Json& config, const char* name) {
  const Json& token = member(config, name);
  const Json& content = token.is_object() ? member(token, "content") : token;
  return content.is_string() ? content.get<std::string>() : "";
}

// The id of an added token or a piece of the vocabulary, in tokenizer.json.
std::optional<int64_t> id_of(const Json& tokenizer, const std::string& token) {
  if (token.empty()) return {};
  Json id = member(member(member(tokenizer, "model"), "vocab"), token);
  for (const Json& added : member(tokenizer, "added_tokens")) {
    if (member(added, "content") == token) id = member(added, "id");
  }
  if (!id.is_number_integer()) return {};
  return id.get<int64_t>();
}

// bos_token and eos_token of tokenizer_config.json, else "<|endoftext|>" for both.
SpecialIds special_of_tokenizer(const fs::path& folder) {
  SpecialIds special;
  if (folder.empty()) return special;
  const Json tokenizer = read_json_object(folder / "tokenizer.json", kLargestVocabulary);
  const Json config = read_json_object(folder / "tokenizer_config.json", kLargestSettings);
  special.begin = id_of(tokenizer, token_named(config, "bos_token"));
  if (const auto end = id_of(tokenizer, token_named(config, "eos_token"))) special.end = {*end};
  const auto both = id_of(tokenizer, "<|endoftext|>");
  if (special.end.empty() && both) special.end = {*both};
  if (!special.begin) special.begin = both;
  return special;
}

}  // namespace

void copy_tokenizer(const fs::path& from, const fs::path& to) {
  for (const std::string& file : tokenizer_files()) {
    if (!from.empty() && fs::exists(from / file))
      write_file(to / file, read_file(from / file, kLargestVocabulary));
  }
}

const std::set<std::string>& tokenizer_files() {
  static const std::set<std::string> kFiles = {
      "added_tokens.json", "chat_template.jinja",     "encoder.json",
      "merges.txt",        "special_tokens_map.json", "tokenizer.json",
      "tokenizer.model",   "tokenizer_config.json",   "vocab.bpe",
      "vocab.json"};
  return kFiles;
}

ModelFolder::ModelFolder(const fs::path& path, bool is_strict) : place_(find_model(path)) {
  open(path, is_strict);
  warnings_ = config_.warnings;
  const std::vector<std::string> of_files = weights_->warnings();
  if (is_strict && !of_files.empty()) fail("cannot load {}", of_files[0]);
  warnings_.insert(warnings_.end(), of_files.begin(), of_files.end());
  check(is_strict);
}

// A running run may remove a checkpoint before it is opened. Then there is a newer one.
void ModelFolder::open(const fs::path& path, bool is_strict) {
  if (!place_.step) {
    config_ = read_config(place_.folder, is_strict);
    weights_ = std::make_shared<FolderWeights>(place_.folder, config_.compression);
    return;
  }
  for (;;) {
    try {
      const auto weights = std::make_shared<RunWeights>(place_.folder);
      config_ = weights->config();
      const SpecialIds& special = config_.special;
      if (!special.begin && special.end.empty()) {
        config_.special = special_of_tokenizer(place_.tokenizer);
      }
      weights_ = weights;
      return;
    } catch (const Error&) {
      const bool is_gone = !fs::exists(place_.folder / "state.json");
      if (!place_.is_newest && is_gone) {
        fail("cannot load \"{}\": the run has removed it, as it keeps only the newest (--keep)",
             path.string());
      }
      const ModelPlace newer = place_.is_newest ? find_model(path) : place_;
      if (newer.step == place_.step) throw;
      place_ = newer;
    }
  }
}

void ModelFolder::put_masks(const NamedTensors& masks) {
  std::map<std::string, MaskedWeights::Mask> by_stored_name;
  for (const auto& [name, mask] : masks) {
    by_stored_name[stored_name(name)] = {mask, stores_transposed(config_.model, name)};
  }
  weights_ = std::make_shared<MaskedWeights>(weights_, std::move(by_stored_name));
  for (const auto& [name, mask] : masks) masks_put_[name] = mask;
}

nlohmann::ordered_json ModelFolder::config_file() const {
  if (place_.step) return config_json(config_.model, config_.special, at::kFloat);
  const fs::path path = place_.folder / "config.json";
  return parse_ordered_object(read_file(path, kLargestSettings), path);
}

// As in transformers, names may lack the prefix, and a tied embedding may only have the output's
// name.
std::string ModelFolder::stored_name(const std::string& name) const {
  if (weights_->contains(name)) return name;
  const model::Architecture& architecture = model::architecture_of(config_.model);
  const std::string_view prefix = architecture.prefix;
  if (name.starts_with(prefix) && weights_->contains(name.substr(prefix.size()))) {
    return name.substr(prefix.size());
  }
  const bool is_output = is_tied() && name == architecture.embedding;
  return is_output ? std::string(architecture.output) : name;
}

bool ModelFolder::is_tied() const { return model::sizes_of(config_.model).is_tied; }

void ModelFolder::check(bool is_strict) {
  std::set<std::string> unexpected, missing;
  const model::Architecture& architecture = model::architecture_of(config_.model);
  for (const std::string& name : weights_->names()) {
    if (!is_buffer(architecture, name)) unexpected.insert(name);
  }
  model::make_shapes(config_.model).visit([&](const std::string& full_name, at::Tensor& tensor) {
    const std::string name = stored_name(full_name);
    unexpected.erase(name);
    if (weights_->contains(name)) {
      check_shape(full_name, tensor);
    } else {
      missing.insert(full_name);
    }
  });
  if (!missing.empty()) fail_missing(path(), missing, unexpected);
  if (is_tied() && unexpected.erase(std::string(architecture.output))) check_tied_output();
  if (unexpected.empty()) return;
  if (is_strict) {
    fail("cannot load \"{}\": unexpected tensors: {}", path().string(), list(unexpected));
  }
  warnings_.push_back(
      fmt::format("\"{}\": tensors that config.json has no use for are ignored, as transformers "
                  "ignores them: {} (--strict refuses)",
                  path().string(), list(unexpected)));
}

void ModelFolder::check_shape(const std::string& name, const at::Tensor& expected) const {
  const std::string stored = stored_name(name);
  const ModelWeights::Weight& entry = weights_->entry(stored);
  std::vector<int64_t> shape = entry.shape;
  if (stores_transposed(config_.model, name)) std::reverse(shape.begin(), shape.end());
  if (at::IntArrayRef(shape) == expected.sizes() && is_weight_type(entry.dtype)) return;
  fail("cannot load \"{}\": tensor \"{}\" is {} {}, config.json asks for floats {}",
       path().string(), stored, type_text(entry.dtype), shape_text(shape),
       shape_text(expected.sizes()));
}

void ModelFolder::check_tied_output() const {
  const model::Architecture& architecture = model::architecture_of(config_.model);
  const std::string output(architecture.output);
  const std::string embedding = stored_name(std::string(architecture.embedding));
  if (at::equal(weights_->view(output), weights_->view(embedding))) return;
  fail(
      "cannot load \"{}\": its {} differs from the token embedding, but by config.json's "
      "tie_word_embeddings they are one",
      path().string(), output);
}

at::Tensor ModelFolder::stored(const std::string& name) const {
  const at::Tensor tensor = weights_->view(stored_name(name));
  return stores_transposed(config_.model, name) ? tensor.t() : tensor;
}

void ModelFolder::release(const std::string& name) const { weights_->release(stored_name(name)); }

void ModelFolder::fill(const std::string& name, at::Tensor& tensor) const {
  tensor.copy_(stored(name));
  release(name);
}

model::Model ModelFolder::load(at::ScalarType dtype) const {
  const at::NoGradGuard no_gradients;
  model::Model model = model::make_empty(config_.model, dtype);
  ProgressBar bar("loading", entries_of(model));
  uint64_t done = 0;
  model.visit([&](const std::string& name, at::Tensor& tensor) {
    fill(name, tensor);
    bar.update(done += static_cast<uint64_t>(tensor.numel()));
  });
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
  model::Model shapes = model::make_shapes(config_.model);
  ProgressBar bar("reading", entries_of(shapes));
  uint64_t done = 0;
  shapes.visit([&](const std::string& name, at::Tensor& tensor) {
    fn(name, stored(name));
    release(name);
    bar.update(done += static_cast<uint64_t>(tensor.numel()));
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
  model::Model handles = model;  // shares the tensors, because visit is not const
  handles.visit([&](const std::string& name, at::Tensor& tensor) {
    const at::ScalarType dtype = options.dtype.value_or(tensor.scalar_type());
    const at::Tensor stored =
        stores_transposed(config, name) ? tensor.detach().t() : tensor.detach();
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
