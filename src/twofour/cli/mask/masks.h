// Masks as the commands of `mask` take them: a file, or a model folder.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/checkpoint/mask_files.h"
#include "twofour/checkpoint/model_folder.h"

namespace twofour::cli {

struct MaskSet {
  std::string place;
  checkpoint::NamedTensors masks;    ///< in the form of mask_files.h
  checkpoint::WeightShapes shapes;   ///< of the masks' weights: [out, in], or [entries] if unknown
  std::vector<std::string> linears;  ///< of the model, in its order; empty if it is unknown
};

/// The masks at `place`: a file of masks, or any model for find_model. A model without
/// masks stands for its zeros: the nonzero entries of every linear layer with at least a tenth of
/// zeros. The shapes come from `config`, the folder or the file. Throws Error as the
/// readers do, and for a folder whose weights have other shapes than `config` says.
MaskSet open_masks(const std::string& place, const std::optional<model::ModelConfig>& config);

/// The configuration of the model at `path`, for open_masks; none if `path` is empty.
std::optional<model::ModelConfig> config_of(const std::string& path, bool is_strict);

/// Throws Error if the set is empty.
void require_masks(const MaskSet& set);

/// The masks at `place` to be put on a model. Logs how many of its linear layers have none. Throws
/// Error if there are none, or one is of something else than a linear layer, such as an embedding.
MaskSet masks_for(const std::string& place, const model::ModelConfig& config);

/// The linear layers without a mask.
std::vector<std::string> without_mask(const MaskSet& set);

/// The mask with one byte an entry, [entries].
at::Tensor unpacked(const at::Tensor& mask, int64_t entries);

/// "768 x 3072", or "49 entries" if the shape is unknown.
std::string shape_text(const std::vector<int64_t>& shape);

/// "1 layer", "24 layers".
std::string count_of_layers(size_t count);

/// For --out: throws Error unless `path` ends as a file of masks, and does not exist or `force` is
/// set.
void check_mask_file(const std::string& path, bool force);

}  // namespace twofour::cli
