// The weights of a Hugging Face folder: model.safetensors, or shards with an index.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/checkpoint/safetensors.h"

namespace twofour::checkpoint {

/// The tensors of a model folder: model.safetensors or, if it is absent, the shards that
/// model.safetensors.index.json lists (transformers uses the same order).
///
/// Every file is fully validated before any tensor is read. Throws Error with file and tensor for
/// any file that SafetensorsFile refuses; for an index whose "weight_map" is missing or names a
/// file that is not a plain name in this folder ending in .safetensors; and for a tensor that two
/// shards hold. Files may be symbolic links, as in the Hugging Face cache. As in transformers, an
/// index only lists the files: a tensor that it misplaces or omits is a warning; metadata is only
/// informative.
class WeightFiles {
 public:
  explicit WeightFiles(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  bool contains(const std::string& name) const { return where_.count(name) != 0; }
  std::vector<std::string> names() const;  ///< sorted

  /// Throws Error for an unknown name, as the next three do.
  const SafetensorsFile::Entry& entry(const std::string& name) const;
  /// The file of the tensor, for messages.
  const std::filesystem::path& file(const std::string& name) const;
  /// A view as in SafetensorsFile: never write to it.
  at::Tensor view(const std::string& name) const;
  /// Lets the tensor's pages leave memory. If it is called after the conversion of each tensor,
  /// loading takes the memory of the model and one tensor.
  void release(const std::string& name) const;

  uint64_t data_bytes() const;  ///< of all tensors
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  const SafetensorsFile& file_of(const std::string& name) const;
  void add_file(const std::filesystem::path& path);
  void read_index(const std::filesystem::path& path);
  void compare(const nlohmann::json& map, const std::filesystem::path& path);

  std::filesystem::path folder_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> where_;
  std::vector<std::string> warnings_;
};

/// One of the files of a model.
struct Shard {
  std::string file;
  std::vector<TensorToWrite> tensors;
};

/// The files of write_weights, and the text of their index; empty for a single file.
std::vector<Shard> shards_of(std::span<const TensorToWrite> tensors, uint64_t largest_shard);
std::string index_of(std::span<const Shard> shards);
inline constexpr char kWeightIndex[] = "model.safetensors.index.json";

/// Writes model.safetensors or, for more than `largest_shard` bytes, shards named
/// model-00001-of-0000N.safetensors and model.safetensors.index.json, split as transformers does:
/// in the order of the tensors, and a larger one in a shard of its own. Every make() is called
/// once.
void write_weights(const std::filesystem::path& folder, std::span<const TensorToWrite> tensors,
                   uint64_t largest_shard, const Metadata& metadata);

}  // namespace twofour::checkpoint
