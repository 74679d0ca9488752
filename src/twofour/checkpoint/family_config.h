// The sizes of a model from its config.json, for each family of models.
#pragma once

#include <string>

#include "twofour/checkpoint/config_reader.h"
#include "twofour/model/model.h"

namespace twofour::checkpoint {

/// The configuration of `family`: gpt2, llama, mistral or qwen2. An absent field stands for what it
/// does in transformers. `what` for messages, as ConfigReader's. Throws Error naming the field for
/// a missing or impossible size, and for a value that is not computed here.
model::ModelConfig read_family(ConfigReader& reader, const std::string& what,
                               const std::string& family);

}  // namespace twofour::checkpoint
