// Models from one format to another: opened from any, written to any, tensor by tensor. Nothing is
// rounded unless a dtype asks for it, and config.json keeps the fields that this program has no use
// for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/checkpoint/mask_files.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/safetensors.h"

namespace twofour::checkpoint {

/// The shapes of every parameter, linears as [out, in].
WeightShapes parameter_shapes(const model::ModelConfig& config);

/// The names of a folder's small files that are not about the weights and go along with a model:
/// tokenizers, generation settings, licences. None where `folder` is no folder.
std::set<std::string> extra_files(const std::filesystem::path& folder);

/// A model that is described but not read: each tensor comes into being when it is written.
struct ModelSource {
  nlohmann::ordered_json config;       ///< config.json, without quantization_config
  model::ModelConfig model;            ///< what it says
  std::vector<TensorToWrite> tensors;  ///< in the order in which they were stored
  WeightShapes shapes;                 ///< parameter_shapes(model)
  NamedTensors masks;                  ///< as mask_files.h has them; empty for none
  std::filesystem::path extras;        ///< a folder whose tokenizer and other small files go along
};

/// A Hugging Face folder, its weights plain or compressed by compressed-tensors as
/// sparse-24-bitmask; the masks are those of masks.safetensors or of the bitmasks. Throws Error as
/// ModelWeights and read_masks do.
ModelSource open_folder(ModelFolder folder);

/// A llama2.c model (llama2c.h). `special` become config.json's bos_token_id and eos_token_id.
ModelSource open_llama2c(const std::filesystem::path& path, const SpecialIds& special);

/// Floating-point tensors become `dtype`, rounded to nearest even; config.json says so.
void convert_dtype(ModelSource& source, at::ScalarType dtype);

/// Fills `folder` with config.json, the weights (model.safetensors, or shards of at most
/// `largest_shard` bytes with their index), masks.safetensors where there are masks, and the extra
/// files; then reads it as a model would be loaded, and throws Error for what does not fit.
void write_folder(const std::filesystem::path& folder, const ModelSource& source,
                  uint64_t largest_shard);

/// The same with every linear layer that is 2:4 along its rows as sparse-24-bitmask. Throws Error
/// where none is, for GPT-2 (whose linears are stored transposed: their groups lie along columns),
/// and for a mask that does not keep two of each four or leaves out a value.
void write_compressed_folder(const std::filesystem::path& folder, const ModelSource& source,
                             uint64_t largest_shard);

/// A llama2.c model in float32. Throws Error naming what the format cannot say: another
/// architecture, biases, another RoPE base or scaling, another width of the heads or epsilon.
void write_llama2c(const std::filesystem::path& path, const ModelSource& source);

}  // namespace twofour::checkpoint
