// Hugging Face model folders of GPT-2: config.json, model.safetensors (or shards with an index),
// tokenizer files, and masks.safetensors beside the weights of a sparse model. docs/model-format.md
// says more.
#pragma once

#include <filesystem>

#include "twofour/checkpoint/safetensors.h"
#include "twofour/model/gpt2.h"

namespace twofour::checkpoint {

/// The sizes in FOLDER/config.json. Throws Error naming the field: for another architecture, a
/// missing or impossible size, and every field whose value would change the result and is not
/// supported.
model::Gpt2Config read_gpt2_config(const std::filesystem::path& folder);

/// The model in `folder`, converted tensor by tensor to `dtype`. Names may lack the "transformer."
/// prefix. Throws Error listing missing and unexpected tensors, or naming one of the wrong shape.
model::Gpt2 load_gpt2(const std::filesystem::path& folder, at::ScalarType dtype);

/// Writes `model` as a folder that transformers loads, with the tokenizer files of `tokenizer`
/// (empty: none). `masks`: name of a weight -> its mask, packed 8 entries a byte, most significant
/// bit first, over the weight as [out, in] (the orientation in which 2:4 groups are consecutive);
/// empty for a dense model. The folder appears complete or not at all.
void save_gpt2(const std::filesystem::path& folder, model::Gpt2& model, const NamedTensors& masks,
               const std::filesystem::path& tokenizer);

}  // namespace twofour::checkpoint
