// What a run begins from: drawn weights or a folder's, given masks, and the model that is
// distilled.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "twofour/model/model.h"
#include "twofour/text/token_file.h"
#include "twofour/train/options.h"

namespace twofour::train {

/// The model that a run begins with, in float32; without values for a run that is resumed. Throws
/// Error as ModelFolder does.
model::Model initial_model(const TrainOptions& options);

/// The masks that stay, by their weights' names; none unless the method has given ones. Of a run
/// that is resumed, its newest checkpoint's. Of a folder without masks.safetensors, the entries
/// that are not zero of every linear layer at least a tenth of whose entries are. Throws Error
/// (usage) where there is no mask to be found.
std::vector<std::pair<std::string, at::Tensor>> given_masks(const TrainOptions& options,
                                                            model::Model& model);

/// The model to distil, in the compute dtype; none without one. Throws Error (usage) where it has
/// another vocabulary or a context below `context`.
std::optional<model::Model> teacher_model(const ModelOptions& options, int64_t context);

/// Throws Error (usage) when the data was encoded with another tokenizer than that of `folder`, as
/// far as both are known.
void check_tokenizer(const std::filesystem::path& folder, const text::TokenFile& data);

}  // namespace twofour::train
