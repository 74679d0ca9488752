// Hugging Face model folders: config.json, model.safetensors (or shards with an index), tokenizer
// files, and masks.safetensors beside the weights of a sparse model. See docs/model-format.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "twofour/checkpoint/model_config.h"
#include "twofour/checkpoint/model_place.h"
#include "twofour/checkpoint/model_weights.h"
#include "twofour/checkpoint/safetensors.h"
#include "twofour/model/model.h"

namespace twofour::checkpoint {

/// A folder whose config and weights are fully checked against each other. Weights are read on
/// request, one tensor at a time, so loading a model needs its own memory and one tensor more.
class ModelFolder {
 public:
  /// Throws Error with the field of config.json (read_config) or the tensor. Missing tensors are
  /// listed; one of the wrong shape or not of a floating-point type is refused. Names may lack
  /// their architecture's prefix. Fields and tensors that transformers ignores are warnings, or
  /// refused if `is_strict`.
  ///
  /// `path` may be any path for find_model: a checkpoint, or an unfinished run, of which the newest
  /// checkpoint is read. Such a model is the one that the run would save now.
  explicit ModelFolder(const std::filesystem::path& path, bool is_strict = false);

  /// Its place, with the steps of a checkpoint.
  const ModelPlace& place() const { return place_; }
  const std::filesystem::path& path() const { return place_.folder; }
  /// The config.json, or the one of the checkpoint's model.
  nlohmann::ordered_json config_file() const;
  const FolderConfig& config() const { return config_; }

  /// Ignored fields and tensors that might matter, one line each.
  const std::vector<std::string>& warnings() const { return warnings_; }

  /// Puts masks (in the form of mask_files.h) on the weights: from now on, every function here
  /// behaves as for the folder that `mask apply` writes. Throws Error for a mask whose weight the
  /// model lacks, or of another size.
  void put_masks(const NamedTensors& masks);
  const std::map<std::string, at::Tensor>& masks_put() const { return masks_put_; }

  /// The weights as they are stored, and the stored name of a parameter.
  const ModelWeights& weights() const { return *weights_; }
  std::string stored_name(const std::string& name) const;

  /// One parameter with the stored values, linears as [out, in]; may be a view of the file.
  /// release() lets its pages leave memory; a view stays valid and reads them again.
  at::Tensor stored(const std::string& name) const;
  void release(const std::string& name) const;

  /// The whole model, each tensor converted to `dtype`.
  model::Model load(at::ScalarType dtype) const;

  /// The model without its blocks: their tensors are undefined until load_block fills block i, and
  /// again after model::drop_block. For a caller that holds one layer at a time.
  model::Model load_frame(at::ScalarType dtype) const;
  void load_block(model::Model& model, int64_t i, at::ScalarType dtype) const;

  /// Calls fn(name, tensor) for every parameter in the model's order, one at a time, with the
  /// stored values and linears as [out, in]. Tensors may be views of the file: copy those that must
  /// stay.
  void for_each(const std::function<void(const std::string&, const at::Tensor&)>& fn) const;

 private:
  void open(const std::filesystem::path& path, bool is_strict);
  void check(bool is_strict);
  void check_shape(const std::string& name, const at::Tensor& expected) const;
  bool is_tied() const;
  void check_tied_output() const;
  void fill(const std::string& name, at::Tensor& tensor) const;

  ModelPlace place_;
  FolderConfig config_;
  std::shared_ptr<const ModelWeights> weights_;
  std::map<std::string, at::Tensor> masks_put_;
  std::vector<std::string> warnings_;
};

/// The names of all possible files of a tokenizer.
const std::set<std::string>& tokenizer_files();

/// Copies them from one folder to another existing one.
void copy_tokenizer(const std::filesystem::path& from, const std::filesystem::path& to);

/// ModelFolder(folder).load(dtype).
model::Model load_model(const std::filesystem::path& folder, at::ScalarType dtype);

struct SaveOptions {
  /// Undefined: each tensor keeps its own.
  std::optional<at::ScalarType> dtype;
  /// Name of a weight -> its mask, packed 8 entries a byte, most significant bit first, over the
  /// weight as [out, in] (the orientation in which 2:4 groups are consecutive).
  NamedTensors masks;
  /// The folder of the tokenizer files to copy; empty: none.
  std::filesystem::path tokenizer;
  /// The ids that begin and end texts; if neither is set, the tokenizer's own.
  SpecialIds special;
  uint64_t largest_shard = uint64_t{5} << 30;  ///< bytes; larger weights are split into several
                                               ///< files
};

/// Writes `model` as a folder that transformers can load, which appears complete or not at all.
/// Tensors are converted one at a time.
void save_model(const std::filesystem::path& folder, const model::Model& model,
                const SaveOptions& options);

}  // namespace twofour::checkpoint
