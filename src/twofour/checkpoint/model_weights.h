// The weights of a folder by parameter name, independent of their storage: plain, or compressed by
// compressed-tensors as sparse-24-bitmask (sparse24_bitmask.h; NAME.weight is then NAME.shape,
// NAME.compressed and NAME.bitmask).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/checkpoint/sparse24_bitmask.h"
#include "twofour/checkpoint/weight_files.h"
#include "twofour/model/model.h"

namespace twofour::checkpoint {

/// GPT-2's files store linears as [in, out] (transformers' Conv1D).
bool stores_transposed(const model::ModelConfig& config, const std::string& name);

/// The number of infinite or NaN values.
int64_t count_non_finite(const at::Tensor& tensor);

/// Whether config.json's quantization_config specifies sparse-24-bitmask (false for null and for
/// sparsity "dense"). Throws Error with `path` and the field for all other storage, such as
/// quantised weights.
bool is_sparse24_bitmask(const nlohmann::json& quantization_config,
                         const std::filesystem::path& path);

/// The quantization_config of such a folder, in which every Linear but `ignored` is compressed.
nlohmann::ordered_json sparse24_bitmask_config(const std::vector<std::string>& ignored);

/// The weights of a model by parameter name. Each tensor is made or mapped on request.
class ModelWeights {
 public:
  virtual ~ModelWeights() = default;

  struct Weight {
    at::ScalarType dtype;
    std::vector<int64_t> shape;  ///< as stored: GPT-2's linears are [in, out]
  };

  const std::filesystem::path& folder() const { return folder_; }
  bool contains(const std::string& name) const { return weights_.count(name) != 0; }
  std::vector<std::string> names() const;  ///< sorted
  /// Throws Error for an unknown name, as the next three do.
  const Weight& entry(const std::string& name) const;

  virtual std::vector<std::string> names_as_stored() const = 0;  ///< in the order of the files
  /// May be a view of the file: never write to it.
  virtual at::Tensor view(const std::string& name) const = 0;
  /// In the form of mask_files.h; undefined for a weight without one.
  virtual at::Tensor mask(const std::string& name) const = 0;
  /// Lets the tensor's pages leave memory.
  virtual void release(const std::string& name) const = 0;
  /// Irregularities of the files, one line each.
  virtual std::vector<std::string> warnings() const { return {}; }

 protected:
  explicit ModelWeights(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::map<std::string, Weight> weights_;

 private:
  std::filesystem::path folder_;
};

/// Replaces WeightFiles if a folder may be compressed. A compressed weight looks like a plain one.
class FolderWeights final : public ModelWeights {
 public:
  /// `quantization_config` is config.json's, null for none. Throws Error with file and tensor as
  /// WeightFiles does, and for a compressed weight that lacks a part, also exists uncompressed, or
  /// has parts whose types and sizes disagree.
  FolderWeights(const std::filesystem::path& folder, const nlohmann::json& quantization_config);

  std::vector<std::string> names_as_stored() const override;
  /// A compressed weight is made at each call. Throws Error for a bitmask that does not keep two of
  /// each four.
  at::Tensor view(const std::string& name) const override;
  at::Tensor mask(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::vector<std::string> warnings() const override { return files_.warnings(); }

 private:
  void add_compressed(const std::string& module);
  bool is_compressed(const std::string& name) const { return compressed_.count(name) != 0; }
  Sparse24Bitmask parts_of(const std::string& name) const;

  WeightFiles files_;
  std::set<std::string> compressed_;
};

}  // namespace twofour::checkpoint
