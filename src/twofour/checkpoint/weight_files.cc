#include "twofour/checkpoint/weight_files.h"

#include <set>

#include <nlohmann/json.hpp>

#include "twofour/base/error.h"

namespace twofour::checkpoint {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

// The index's weight_map: name -> file name.
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
  const auto json = nlohmann::json::parse(read_file(index), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) fail("cannot read \"{}\": it is not a JSON object", index.string());
  if (!json.contains("weight_map") || !json["weight_map"].is_object()) {
    fail("cannot read \"{}\": \"weight_map\" is missing or no object", index.string());
  }
  std::map<std::string, std::string> files;
  for (const auto& [name, value] : json["weight_map"].items()) {
    const std::string file = value.is_string() ? value.get<std::string>() : "";
    if (file.find('\0') != std::string::npos || fs::path(file).filename().string() != file ||
        !file.ends_with(".safetensors")) {
      fail("cannot read \"{}\": \"{}\" lies in {}, which is no .safetensors file of this folder",
           index.string(), printable(name), printable(value.dump()));
    }
    files[name] = file;
  }
  if (files.empty()) fail("cannot read \"{}\": its weight_map is empty", index.string());
  return files;
}

uint64_t bytes_of(const TensorToWrite& tensor) {
  uint64_t bytes = c10::elementSize(tensor.dtype);
  for (const int64_t size : tensor.shape) bytes *= static_cast<uint64_t>(size);
  return bytes;
}

}  // namespace

WeightFiles::WeightFiles(const fs::path& folder) : folder_(folder) {
  if (!fs::exists(folder / kSingle) && fs::exists(folder / kIndex)) {
    read_index(folder / kIndex);
  } else {
    add_file(folder / kSingle);
  }
}

std::vector<std::string> WeightFiles::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : where_) names.push_back(name);
  return names;
}

const SafetensorsFile::Entry& WeightFiles::entry(const std::string& name) const {
  return files_[where_.at(name)].entries().at(name);
}

at::Tensor WeightFiles::view(const std::string& name) const {
  return files_[where_.at(name)].view(name);
}

void WeightFiles::release(const std::string& name) const { files_[where_.at(name)].release(name); }

void WeightFiles::add_file(const fs::path& path) {
  files_.emplace_back(path);
  for (const auto& [name, entry] : files_.back().entries()) {
    if (!where_.emplace(name, files_.size() - 1).second) {
      fail("cannot load \"{}\": the tensor \"{}\" is in two files", path.string(), printable(name));
    }
  }
}

void WeightFiles::read_index(const fs::path& index) {
  const std::map<std::string, std::string> named = read_weight_map(index);
  std::set<std::string> shards;
  for (const auto& [name, file] : named) shards.insert(file);
  for (const std::string& shard : shards) add_file(folder_ / shard);
  for (const auto& [name, file] : named) {
    if (!contains(name) || files_[where_.at(name)].path().filename() != file) {
      fail("cannot load \"{}\": \"{}\" should hold \"{}\", but does not", index.string(), file,
           printable(name));
    }
  }
  for (const auto& [name, file] : where_) {
    if (named.count(name)) continue;
    fail("cannot load \"{}\": \"{}\" holds \"{}\", which the index does not name", index.string(),
         files_[file].path().filename().string(), printable(name));
  }
}

void write_weights(const fs::path& folder, std::span<const TensorToWrite> tensors,
                   uint64_t largest_shard, const std::map<std::string, std::string>& metadata) {
  std::vector<size_t> ends;  // one past the last tensor of each shard
  uint64_t filled = 0, total = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t bytes = bytes_of(tensors[i]);
    if (filled > 0 && filled + bytes > largest_shard) {
      ends.push_back(i);
      filled = 0;
    }
    filled += bytes;
    total += bytes;
  }
  ends.push_back(tensors.size());
  if (ends.size() == 1) {
    write_safetensors(folder / kSingle, tensors, metadata);
    return;
  }
  nlohmann::ordered_json index = {{"metadata", {{"total_size", total}}},
                                  {"weight_map", nlohmann::ordered_json::object()}};
  auto& weight_map = index["weight_map"].get_ref<nlohmann::ordered_json::object_t&>();
  size_t first = 0;
  for (size_t shard = 0; shard < ends.size(); ++shard) {
    const std::string file =
        fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, ends.size());
    const auto part = tensors.subspan(first, ends[shard] - first);
    write_safetensors(folder / file, part, metadata);
    for (const TensorToWrite& tensor : part) weight_map.emplace_back(tensor.name, file);
    first = ends[shard];
  }
  write_file(folder / kIndex, index.dump(2) + "\n");
}

}  // namespace twofour::checkpoint
