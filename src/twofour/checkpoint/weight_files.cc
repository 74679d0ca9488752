#include "twofour/checkpoint/weight_files.h"

#include <algorithm>
#include <set>

#include "twofour/base/error.h"
#include "twofour/checkpoint/json_file.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;

constexpr const char* kSingle = "model.safetensors";

// A name that cannot refer outside the folder.
bool is_shard_name(const Json& value) {
  if (!value.is_string()) return false;
  const auto& name = value.get_ref<const std::string&>();
  return name.ends_with(".safetensors") && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// Weights of an unsupported format or name.
[[noreturn]] void fail_without_weights(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  std::string reason = fmt::format("it holds no {}", kSingle);
  for (const std::string& name : names) {
    if (name.starts_with("pytorch_model") && (name.ends_with(".bin") || name.ends_with(".json"))) {
      reason = fmt::format(
          "its weights are pickled ({}); save them as safetensors, with save_pretrained of "
          "transformers",
          printable(name));
    } else if (name.starts_with("tf_model") || name.starts_with("flax_model")) {
      reason = fmt::format("its weights are TensorFlow's or Flax's ({}); save them as safetensors",
                           printable(name));
    } else if (name == "adapter_model.safetensors") {
      reason =
          "it holds an adapter (LoRA) without its model: merge them with merge_and_unload of "
          "peft and save_pretrained";
    } else if (name.ends_with(".safetensors") && name.find("-of-") != std::string::npos) {
      reason = fmt::format("it holds shards, but no {} that lists them", kWeightIndex);
    } else if (name.ends_with(".safetensors") && name != "masks.safetensors") {
      reason = fmt::format("it holds \"{}\", but weights are read from {}: rename it",
                           printable(name), kSingle);
    } else {
      continue;
    }
    break;
  }
  fail("cannot load \"{}\": {}", folder.string(), reason);
}

using Shards = std::vector<std::vector<TensorToWrite>>;

Shards split(std::span<const TensorToWrite> tensors, uint64_t largest_shard) {
  Shards shards;
  std::vector<TensorToWrite> current;
  uint64_t bytes = 0;
  for (const TensorToWrite& tensor : tensors) {
    if (tensor.bytes() > largest_shard) {
      shards.push_back({tensor});
      continue;
    }
    if (bytes + tensor.bytes() > largest_shard) {
      shards.push_back(std::exchange(current, {}));
      bytes = 0;
    }
    current.push_back(tensor);
    bytes += tensor.bytes();
  }
  if (!current.empty() || shards.empty()) shards.push_back(std::move(current));
  return shards;
}

}  // namespace

WeightFiles::WeightFiles(const fs::path& folder) : folder_(folder) {
  if (fs::is_symlink(folder / kSingle) || fs::exists(folder / kSingle)) {
    add_file(folder / kSingle);
  } else if (fs::exists(folder / kWeightIndex)) {
    read_index(folder / kWeightIndex);
  } else {
    fail_without_weights(folder);
  }
}

void WeightFiles::add_file(const fs::path& path) {
  files_.emplace_back(path);
  for (const auto& [name, entry] : files_.back().entries()) {
    const auto [known, is_new] = where_.emplace(name, files_.size() - 1);
    if (!is_new) {
      fail("cannot load \"{}\": \"{}\" holds the tensor \"{}\" too", path.string(),
           files_[known->second].path().string(), printable(name));
    }
  }
}

void WeightFiles::read_index(const fs::path& path) {
  const Json json = read_json_object(path);
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) {
    fail("cannot read \"{}\": \"weight_map\" is missing or no object", path.string());
  }
  if (map->empty()) fail("cannot read \"{}\": its weight_map is empty", path.string());
  std::set<std::string> shards;
  for (const auto& [name, shard] : map->items()) {
    if (!is_shard_name(shard)) {
      fail("cannot read \"{}\": \"{}\" lies in {}, which is no file name in this folder",
           path.string(), printable(name), printable(shard.dump()));
    }
    shards.insert(shard.get<std::string>());
  }
  for (const std::string& shard : shards) add_file(folder_ / shard);
  compare(*map, path);
}

void WeightFiles::compare(const Json& map, const fs::path& path) {
  std::vector<std::string> misplaced, left_out;
  for (const auto& [name, shard] : map.items()) {
    const auto found = where_.find(name);
    if (found == where_.end() || files_[found->second].path().filename().string() != shard) {
      misplaced.push_back(name);
    }
  }
  for (const auto& [name, index] : where_) {
    if (!map.contains(name)) left_out.push_back(name);
  }
  const auto warn = [&](const std::vector<std::string>& names, const char* what) {
    if (names.empty()) return;
    warnings_.push_back(fmt::format(
        "\"{}\" {} \"{}\"{}: its shards count", path.string(), what, printable(names[0]),
        names.size() > 1 ? fmt::format(" and {} more tensors", names.size() - 1) : ""));
  };
  warn(misplaced, "does not say where to find");
  warn(left_out, "leaves out");
}

std::vector<std::string> WeightFiles::names() const {
  std::vector<std::string> all;
  for (const auto& [name, file] : where_) all.push_back(name);
  return all;
}

const SafetensorsFile& WeightFiles::file_of(const std::string& name) const {
  const auto found = where_.find(name);
  if (found == where_.end()) {
    fail("\"{}\" holds no tensor \"{}\"", folder_.string(), printable(name));
  }
  return files_[found->second];
}

const SafetensorsFile::Entry& WeightFiles::entry(const std::string& name) const {
  return file_of(name).entry(name);
}

const fs::path& WeightFiles::file(const std::string& name) const { return file_of(name).path(); }

at::Tensor WeightFiles::view(const std::string& name) const { return file_of(name).view(name); }

void WeightFiles::release(const std::string& name) const { file_of(name).release(name); }

uint64_t WeightFiles::data_bytes() const {
  uint64_t bytes = 0;
  for (const SafetensorsFile& file : files_) {
    for (const auto& [name, entry] : file.entries()) bytes += entry.last - entry.first;
  }
  return bytes;
}

std::vector<Shard> shards_of(std::span<const TensorToWrite> tensors, uint64_t largest_shard) {
  Shards parts = split(tensors, largest_shard);
  if (parts.size() == 1) return {{kSingle, std::move(parts[0])}};
  std::vector<Shard> shards;
  for (std::vector<TensorToWrite>& part : parts) {
    shards.push_back(
        {fmt::format("model-{:05}-of-{:05}.safetensors", shards.size() + 1, parts.size()),
         std::move(part)});
  }
  return shards;
}

std::string index_of(std::span<const Shard> shards) {
  if (shards.size() == 1) return "";
  Json index = {{"metadata", {{"total_size", 0}}}, {"weight_map", Json::object()}};
  uint64_t bytes = 0;
  for (const Shard& shard : shards) {
    for (const TensorToWrite& tensor : shard.tensors) {
      index["weight_map"][tensor.name] = shard.file;
      bytes += tensor.bytes();
    }
  }
  index["metadata"]["total_size"] = bytes;
  return index.dump(2) + "\n";
}

void write_weights(const fs::path& folder, std::span<const TensorToWrite> tensors,
                   uint64_t largest_shard, const Metadata& metadata) {
  const std::vector<Shard> shards = shards_of(tensors, largest_shard);
  for (const Shard& shard : shards) {
    write_safetensors(folder / shard.file, shard.tensors, metadata);
  }
  const std::string index = index_of(shards);
  if (!index.empty()) write_file(folder / kWeightIndex, index);
}

}  // namespace twofour::checkpoint
