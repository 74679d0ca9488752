// The weights of a folder under their parameters' names, however they are stored: plainly, or by
// compressed-tensors as sparse-24-bitmask (sparse24_bitmask.h; NAME.weight is then NAME.shape,
// NAME.compressed and NAME.bitmask).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/checkpoint/sparse24_bitmask.h"
#include "twofour/checkpoint/weight_files.h"

namespace twofour::checkpoint {

/// Whether config.json's quantization_config says that weights are stored as sparse-24-bitmask
/// (false for null and for sparsity "dense"). Throws Error naming `path` and the field for every
/// other way of storing weights: quantised ones first of all.
bool is_sparse24_bitmask(const nlohmann::json& quantization_config,
                         const std::filesystem::path& path);

/// quantization_config for such a folder, in which every Linear but `ignored` is compressed.
nlohmann::ordered_json sparse24_bitmask_config(const std::vector<std::string>& ignored);

/// Takes WeightFiles' place where a folder may be compressed: the same functions, and a compressed
/// weight looks like a plain one.
class ModelWeights {
 public:
  /// `quantization_config` is that of config.json, null for none. Throws Error naming file and
  /// tensor as WeightFiles does, and for a compressed weight of which a part is missing, that is
  /// there uncompressed too, or whose parts' types and sizes disagree.
  ModelWeights(const std::filesystem::path& folder, const nlohmann::json& quantization_config);

  const std::filesystem::path& folder() const { return files_.folder(); }
  bool contains(const std::string& name) const { return weights_.count(name) != 0; }
  std::vector<std::string> names() const;            ///< sorted
  std::vector<std::string> names_as_stored() const;  ///< in the order of the files

  struct Weight {
    at::ScalarType dtype;
    std::vector<int64_t> shape;
    bool compressed = false;
  };
  /// Throws for an unknown name, as the next four.
  const Weight& entry(const std::string& name) const;
  /// The tensor, for a compressed weight made at each call (throws Error for a bitmask that does
  /// not keep two of each four), else as WeightFiles::view: never write to it.
  at::Tensor view(const std::string& name) const;
  /// As mask_files.h has it; undefined for a weight that is not compressed.
  at::Tensor mask(const std::string& name) const;
  void release(const std::string& name) const;

 private:
  void add_compressed(const std::string& module);
  Sparse24Bitmask parts_of(const std::string& name) const;

  WeightFiles files_;
  std::map<std::string, Weight> weights_;
};

}  // namespace twofour::checkpoint
