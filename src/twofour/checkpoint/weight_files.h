// The tensors of a model folder, wherever they lie: model.safetensors, or the shards that
// model.safetensors.index.json lists.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "twofour/checkpoint/safetensors.h"

namespace twofour::checkpoint {

class WeightFiles {
 public:
  /// Validates every file in full, and the index against the shards: its files are plain names in
  /// this folder, each tensor is in exactly the shard that the index names, and no shard holds
  /// another. Throws Error naming file and tensor. Where both are there, model.safetensors counts,
  /// as in transformers.
  explicit WeightFiles(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  bool contains(const std::string& name) const { return where_.count(name) != 0; }
  std::vector<std::string> names() const;  ///< sorted
  const SafetensorsFile::Entry& entry(const std::string& name) const;

  /// A view of the mapped file. Never write to it.
  at::Tensor view(const std::string& name) const;

  /// Lets the tensor's pages leave memory; a later view reads them from the file again. So loading
  /// needs the model and one tensor.
  void release(const std::string& name) const;

 private:
  void add_file(const std::filesystem::path& path);
  void read_index(const std::filesystem::path& index);

  std::filesystem::path folder_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> where_;  // name -> index in files_
};

/// Writes model.safetensors or, with more than `largest_shard` bytes of tensors,
/// model-0000i-of-0000n.safetensors with model.safetensors.index.json, split as transformers does:
/// a shard is closed before the tensor that would not fit.
void write_weights(const std::filesystem::path& folder, std::span<const TensorToWrite> tensors,
                   uint64_t largest_shard, const std::map<std::string, std::string>& metadata);

}  // namespace twofour::checkpoint
