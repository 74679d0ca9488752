// The starting point of a run: drawn weights or a folder's, given masks, and the distillation
// teacher.
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

/// The run's initial model in float32; without values for a resumed run. Throws Error as
/// ModelFolder does.
model::Model initial_model(const TrainOptions& options);

/// The fixed masks by weight name; none unless the method uses given ones. A resumed run has those
/// of its newest checkpoint. For a folder without masks.safetensors, they are the nonzero entries
/// of every linear layer with at least a tenth of zeros. Throws Error (usage) if there is no mask.
std::vector<std::pair<std::string, at::Tensor>> given_masks(const TrainOptions& options,
                                                            const model::Model& model);

/// The teacher in the compute dtype; none if unset. Throws Error (usage) if its vocabulary differs
/// or its context is below `context`.
std::optional<model::Model> teacher_model(const ModelOptions& options, int64_t context);

/// Throws Error (usage) if the data was encoded with another tokenizer than that of `folder`, if
/// both are known.
void check_tokenizer(const std::filesystem::path& folder, const text::TokenFile& data);

}  // namespace twofour::train
