#include "twofour/checkpoint/conversion.h"

#include <memory>
#include <set>
#include <variant>

#include <ATen/ops/from_blob.h>

#include "twofour/base/error.h"
#include "twofour/checkpoint/json_file.h"
#include "twofour/checkpoint/llama2c.h"
#include "twofour/checkpoint/masks_of_model.h"
#include "twofour/model/model.h"
#include "twofour/sparse/pattern.h"
#include "twofour/tensor/dtype.h"

namespace twofour::checkpoint {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char *kConfig = "config.json", *kMasks = "masks.safetensors";
constexpr uintmax_t kLargestExtra = 100'000'000;

// The same values. When they are freed, so are the file's pages that hold them.
template <class File>
at::Tensor released_after_use(const std::shared_ptr<File>& file, const std::string& name,
                              const at::Tensor& view) {
  if (view.numel() == 0 || !view.is_contiguous()) return view;
  return at::from_blob(
      view.data_ptr(), view.sizes(), [file, name, view](void*) { file->release(name); },
      view.options());
}

// Files may omit the prefix of all names.
std::string without_prefix(const std::string& name) { return name.substr(name.find('.') + 1); }

std::set<std::string> stored_linear_names(const ModelSource& source) {
  std::set<std::string> names;
  for (const std::string& name : linear_names(source.model)) {
    names.insert(name);
    names.insert(without_prefix(name));
  }
  return names;
}

const TensorToWrite& tensor_named(const ModelSource& source, const std::string& name) {
  for (const TensorToWrite& tensor : source.tensors) {
    if (tensor.name == name || tensor.name == without_prefix(name)) return tensor;
  }
  fail("the model has no tensor \"{}\"", name);
}

// The mask of a tensor that may lack the prefix; undefined if there is none.
at::Tensor mask_for(const ModelSource& source, const std::string& name) {
  for (const auto& [weight, mask] : source.masks) {
    if (weight == name || without_prefix(weight) == name) return mask;
  }
  return {};
}

// Small files that are not weights: tokenizers, generation settings, licences.
bool is_extra(const fs::directory_entry& entry) {
  static const std::set<std::string> kExtensions = {".json", ".txt", ".model", ".jinja", ".bpe"};
  const std::string name = entry.path().filename().string();
  return entry.is_regular_file() && entry.file_size() <= kLargestExtra && name != kConfig &&
         !name.ends_with(".index.json") &&
         (kExtensions.count(entry.path().extension().string()) || name == "LICENSE");
}

void write_extras(const fs::path& folder, const fs::path& extras) {
  for (const std::string& name : extra_files(extras)) {
    write_file(folder / name, read_file(extras / name, kLargestVocabulary));
  }
}

void write_config(const fs::path& folder, const OrderedJson& config) {
  write_file(folder / kConfig, python_json(config) + "\n");
}

// One of the three tensors of a compressed weight.
TensorToWrite part_of(const TensorToWrite& tensor, const std::string& suffix, at::ScalarType dtype,
                      std::vector<int64_t> shape, const at::Tensor& mask,
                      at::Tensor Sparse24Bitmask::*member) {
  const std::string module = tensor.name.substr(0, tensor.name.rfind(".weight"));
  const auto make = [tensor, mask, member]() -> at::Tensor {
    try {
      return compress24(tensor.make(), mask).*member;
    } catch (const Error& error) {
      fail("cannot compress tensor \"{}\": {}", printable(tensor.name), error.what());
    }
  };
  return {module + "." + suffix, dtype, std::move(shape), make};
}

// Rounded to `dtype`, which must hold every finite value, because an infinite weight ruins the
// model.
at::Tensor narrowed(const at::Tensor& values, const std::string& name, at::ScalarType dtype) {
  const at::Tensor rounded = values.to(dtype);
  const at::Tensor infinite = rounded.isinf();
  if (infinite.any().item<bool>() && !infinite.equal(values.to(at::kDouble).isinf())) {
    fail("tensor \"{}\" holds values beyond the range of {}: {}", printable(name),
         tensor::dtype_name(dtype),
         dtype == at::kHalf       ? "use bfloat16 or float32"
         : dtype == at::kBFloat16 ? "use float32"
                                  : "leave out --dtype");
  }
  return rounded;
}

}  // namespace

std::set<std::string> extra_files(const fs::path& folder) {
  std::set<std::string> names;
  if (!fs::is_directory(folder)) return names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_extra(entry)) names.insert(entry.path().filename().string());
  }
  return names;
}

WeightShapes parameter_shapes(const model::ModelConfig& config) {
  WeightShapes shapes;
  model::make_shapes(config).visit(
      [&](const std::string& name, at::Tensor& tensor) { shapes[name] = tensor.sizes().vec(); });
  return shapes;
}

ModelSource open_folder(ModelFolder opened) {
  const auto folder = std::make_shared<const ModelFolder>(std::move(opened));
  const std::shared_ptr<const ModelWeights> weights(folder, &folder->weights());
  ModelSource source;
  source.config = folder->config_file();
  source.config.erase("quantization_config");
  source.model = folder->config().model;
  source.shapes = parameter_shapes(source.model);
  source.extras = folder->place().tokenizer;
  for (const std::string& name : weights->names_as_stored()) {
    const ModelWeights::Weight& entry = weights->entry(name);
    source.tensors.push_back({name, entry.dtype, entry.shape, [weights, name] {
                                return released_after_use(weights, name, weights->view(name));
                              }});
  }
  source.masks = stored_masks(*folder);
  return source;
}

ModelSource open_llama2c(const fs::path& path, const SpecialIds& special) {
  const auto file = std::make_shared<Llama2cFile>(path);
  const Llama2cHeader& header = file->header();
  model::LlamaConfig config;
  config.vocabulary = header.vocabulary;
  config.context = header.context;
  config.width = header.dim;
  config.layers = header.layers;
  config.heads = header.heads;
  config.key_value_heads = header.kv_heads;
  config.head_width = header.dim / header.heads;
  config.feed_forward = header.hidden_dim;
  config.rms_norm_epsilon = kLlama2cNormEpsilon;
  config.rope.theta = kLlama2cRopeBase;
  config.tied = header.tied;
  ModelSource source;
  source.model = config;
  source.config = config_json(config, special, at::kFloat);
  source.shapes = parameter_shapes(config);
  for (const auto& [name, shape] : source.shapes) {
    source.tensors.push_back({name, at::kFloat, shape, [file, name = name] {
                                return released_after_use(file, name, file->tensor(name));
                              }});
  }
  return source;
}

void convert_dtype(ModelSource& source, at::ScalarType dtype) {
  for (TensorToWrite& tensor : source.tensors) {
    if (!at::isFloatingType(tensor.dtype) || tensor.dtype == dtype) continue;
    tensor.dtype = dtype;
    tensor.make = [make = tensor.make, name = tensor.name, dtype] {
      return narrowed(make(), name, dtype);
    };
  }
  const bool is_new_name = source.config.contains("dtype");  // transformers 5
  source.config[is_new_name ? "dtype" : "torch_dtype"] = tensor::dtype_name(dtype);
}

void write_without_weights(const fs::path& folder, const ModelSource& source) {
  write_extras(folder, source.extras);
  write_config(folder, source.config);
  if (!source.masks.empty()) write_masks(folder / kMasks, source.masks, source.shapes);
}

void write_folder(const fs::path& folder, const ModelSource& source, uint64_t largest_shard) {
  write_without_weights(folder, source);
  write_weights(folder, source.tensors, largest_shard, {{"format", "pt"}});
  const ModelFolder check(folder);
}

void write_compressed_folder(const fs::path& folder, const ModelSource& source,
                             uint64_t largest_shard) {
  if (const auto& architecture = model::architecture_of(source.model); architecture.is_transposed) {
    fail(
        "{}'s linears are stored transposed, which sparse-24-bitmask cannot hold: keep the "
        "folder as it is, zeros included",
        architecture.class_prefix);
  }
  const std::set<std::string> linears = stored_linear_names(source);
  std::vector<TensorToWrite> tensors;
  std::vector<std::string> ignored;
  for (const TensorToWrite& tensor : source.tensors) {
    const at::Tensor mask = mask_for(source, tensor.name);
    const bool is_linear = linears.count(tensor.name) != 0;
    if (!is_linear || !(mask.defined() || sparse::is_24(tensor.make()))) {
      tensors.push_back(tensor);
      if (is_linear || tensor.name == model::architecture_of(source.model).output) {
        ignored.push_back(tensor.name.substr(0, tensor.name.rfind(".weight")));
      }
      continue;
    }
    const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
    tensors.push_back(part_of(tensor, "bitmask", at::kByte, {rows, (columns + 7) / 8}, mask,
                              &Sparse24Bitmask::bitmask));
    tensors.push_back(part_of(tensor, "compressed", tensor.dtype, {rows, columns / 2}, mask,
                              &Sparse24Bitmask::compressed));
    tensors.push_back(part_of(tensor, "shape", at::kLong, {2, 1}, mask, &Sparse24Bitmask::shape));
  }
  if (tensors.size() == source.tensors.size()) {
    fail("no linear layer of the model is 2:4 along its rows: there is nothing to compress");
  }
  write_extras(folder, source.extras);
  OrderedJson config = source.config;
  config["quantization_config"] = sparse24_bitmask_config(ignored);
  write_config(folder, config);
  write_weights(folder, tensors, largest_shard, {{"format", "pt"}});
  const ModelFolder check(folder);
}

void write_llama2c(const fs::path& path, const ModelSource& source) {
  const auto* config = std::get_if<model::LlamaConfig>(&source.model);
  const auto refuse = [](const std::string& what) {
    fail("llama2.c's format cannot say {}", what);
  };
  if (!config)
    refuse(fmt::format("that a model is of type {}", model::model_type_of(source.model)));
  if (config->query_bias || config->attention_output_bias || config->feed_forward_bias) {
    refuse("that linear layers have a bias");
  }
  if (config->head_width * config->heads != config->width) {
    refuse(fmt::format("that {} heads of {} are not the width {}", config->heads,
                       config->head_width, config->width));
  }
  if (config->rope.theta != kLlama2cRopeBase) {
    refuse(fmt::format("that rope_theta is {}: it means {}", config->rope.theta, kLlama2cRopeBase));
  }
  if (config->rope.scaling.kind != model::RopeScaling::Kind::kNone) {
    refuse("that the rotary angles are scaled");
  }
  if (config->rms_norm_epsilon != kLlama2cNormEpsilon) {
    refuse(fmt::format("that rms_norm_eps is {}: it means {}", config->rms_norm_epsilon,
                       kLlama2cNormEpsilon));
  }
  const Llama2cHeader header = {.dim = config->width,
                                .hidden_dim = config->feed_forward,
                                .layers = config->layers,
                                .heads = config->heads,
                                .kv_heads = config->key_value_heads,
                                .vocabulary = config->vocabulary,
                                .context = config->context,
                                .tied = config->tied};
  write_llama2c(path, header,
                [&](const std::string& name) { return tensor_named(source, name).make(); });
}

}  // namespace twofour::checkpoint
