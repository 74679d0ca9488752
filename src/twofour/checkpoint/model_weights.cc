#include "twofour/checkpoint/model_weights.h"

#include <algorithm>
#include <set>
#include <tuple>

#include <ATen/ops/count_nonzero.h>
#include <ATen/ops/isfinite.h>

#include "twofour/base/error.h"
#include "twofour/model/config_reader.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;
using model::ConfigReader;

constexpr std::string_view kWeight = ".weight", kShape = ".shape", kCompressed = ".compressed",
                           kBitmask = ".bitmask";

std::string module_of(const std::string& name, std::string_view suffix) {
  return name.substr(0, name.size() - suffix.size());
}

std::string part(const std::string& module, std::string_view suffix) {
  return module + std::string(suffix);
}

// Fields of SparsityCompressionConfig. Only the format affects the storage; a weight is compressed
// if its parts exist.
bool read_sparsity(const Json& sparsity, const std::string& what) {
  ConfigReader reader(sparsity, what, "quantization_config.sparsity_config.");
  reader.require("format", {"sparse-24-bitmask", "dense"});
  const bool compressed = reader.text("format", "dense") != "dense";
  if (compressed) reader.require("sparsity_structure", {"2:4"});
  reader.ignore(
      {"sparsity_structure", "targets", "ignore", "global_sparsity", "registry_requires_subclass"});
  reader.finish();
  return compressed;
}

}  // namespace

bool stores_transposed(const model::ModelConfig& config, const std::string& name) {
  const auto is_transposed = model::architecture_of(config).is_transposed;
  return is_transposed && is_transposed(name);
}

int64_t count_non_finite(const at::Tensor& tensor) {
  if (!at::isFloatingType(tensor.scalar_type())) return 0;
  // ATen has no such operations for 8-bit floats.
  const at::Tensor values = tensor.element_size() == 1 ? tensor.to(at::kFloat) : tensor;
  return values.numel() - at::count_nonzero(values.isfinite()).item<int64_t>();
}

bool is_sparse24_bitmask(const Json& quantization_config, const fs::path& path) {
  if (quantization_config.is_null()) return false;
  const std::string what = fmt::format("cannot load \"{}\"", path.string());
  if (!quantization_config.is_object()) fail("{}: quantization_config is no object", what);
  ConfigReader reader(quantization_config, what, "quantization_config.");
  reader.require("quant_method", {"compressed-tensors"});
  if (!reader.has("quant_method")) reader.refuse("quant_method", "is missing");
  reader.require("format", {"dense"});
  reader.require("config_groups", {Json::object()});
  reader.require("kv_cache_scheme", {});
  reader.require("transform_config", {Json::object()});
  reader.ignore({"version", "ignore", "quantization_status", "global_compression_ratio"});
  const Json& sparsity = reader.any("sparsity_config");
  reader.finish();
  if (sparsity.is_null() || sparsity == Json::object()) return false;
  if (!sparsity.is_object()) reader.refuse("sparsity_config", "is no object");
  return read_sparsity(sparsity, what);
}

nlohmann::ordered_json sparse24_bitmask_config(const std::vector<std::string>& ignored) {
  return {{"quant_method", "compressed-tensors"},
          {"sparsity_config",
           {{"format", "sparse-24-bitmask"},
            {"sparsity_structure", "2:4"},
            {"global_sparsity", 0.5},
            {"targets", {"Linear"}},
            {"ignore", ignored}}}};
}

FolderWeights::FolderWeights(const fs::path& folder, const Json& quantization_config)
    : ModelWeights(folder), files_(folder) {
  const bool compressed = is_sparse24_bitmask(quantization_config, folder / "config.json");
  std::set<std::string> modules;
  for (const std::string& name : files_.names()) {
    bool is_part = false;
    for (const std::string_view suffix : {kShape, kCompressed, kBitmask}) {
      if (!compressed || !name.ends_with(suffix)) continue;
      modules.insert(module_of(name, suffix));
      is_part = true;
    }
    if (is_part) continue;
    const SafetensorsFile::Entry& entry = files_.entry(name);
    weights_[name] = {entry.dtype, entry.shape};
  }
  for (const std::string& module : modules) add_compressed(module);
}

void FolderWeights::add_compressed(const std::string& module) {
  const std::string name = part(module, kWeight);
  for (const std::string_view suffix : {kShape, kCompressed, kBitmask}) {
    if (files_.contains(part(module, suffix))) continue;
    fail("cannot load \"{}\": \"{}\" is compressed, but its \"{}\" is missing", folder().string(),
         printable(name), suffix.substr(1));
  }
  const SafetensorsFile::Entry& values = files_.entry(part(module, kCompressed));
  const SafetensorsFile::Entry& bits = files_.entry(part(module, kBitmask));
  try {
    if (weights_.count(name)) fail("it is there uncompressed too");
    const at::Tensor shape = files_.view(part(module, kShape));
    if (shape.scalar_type() != at::kLong || shape.numel() != 2)
      fail("its shape is no int64 [2, 1]");
    const auto* sizes = shape.const_data_ptr<int64_t>();
    const std::vector<int64_t> matrix = {sizes[0], sizes[1]};
    check_sizes24(values.dtype, values.shape, bits.dtype, bits.shape, matrix);
    weights_[name] = {values.dtype, matrix};
    compressed_.insert(name);
  } catch (const Error& error) {
    fail("cannot load \"{}\": compressed tensor \"{}\": {}",
         files_.file(part(module, kCompressed)).string(), printable(name), error.what());
  }
}

std::vector<std::string> ModelWeights::names() const {
  std::vector<std::string> all;
  for (const auto& [name, weight] : weights_) all.push_back(name);
  return all;
}

std::vector<std::string> FolderWeights::names_as_stored() const {
  std::vector<std::tuple<fs::path, uint64_t, std::string>> places;
  for (const auto& [name, weight] : weights_) {
    const std::string stored =
        is_compressed(name) ? part(module_of(name, kWeight), kCompressed) : name;
    places.emplace_back(files_.file(stored), files_.entry(stored).first, name);
  }
  std::sort(places.begin(), places.end());
  std::vector<std::string> all;
  for (const auto& [file, first, name] : places) all.push_back(name);
  return all;
}

const ModelWeights::Weight& ModelWeights::entry(const std::string& name) const {
  const auto found = weights_.find(name);
  if (found == weights_.end()) {
    fail("\"{}\" holds no tensor \"{}\"", folder().string(), printable(name));
  }
  return found->second;
}

Sparse24Bitmask FolderWeights::parts_of(const std::string& name) const {
  const std::string module = module_of(name, kWeight);
  return {files_.view(part(module, kCompressed)), files_.view(part(module, kBitmask)),
          files_.view(part(module, kShape))};
}

at::Tensor FolderWeights::view(const std::string& name) const {
  entry(name);
  if (!is_compressed(name)) return files_.view(name);
  try {
    return decompress24(parts_of(name));
  } catch (const Error& error) {
    const std::string values = part(module_of(name, kWeight), kCompressed);
    fail("cannot load \"{}\": compressed tensor \"{}\": {}", files_.file(values).string(),
         printable(name), error.what());
  }
}

at::Tensor FolderWeights::mask(const std::string& name) const {
  entry(name);
  return is_compressed(name) ? mask_of(parts_of(name)) : at::Tensor();
}

void FolderWeights::release(const std::string& name) const {
  entry(name);
  if (!is_compressed(name)) return files_.release(name);
  for (const std::string_view suffix : {kShape, kCompressed, kBitmask}) {
    files_.release(part(module_of(name, kWeight), suffix));
  }
}

}  // namespace twofour::checkpoint
