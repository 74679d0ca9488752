// Converts models between formats, tensor by tensor. Values are only rounded if a dtype asks for
// it. config.json keeps the fields that this program does not use.
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

/// The names of a folder's small files that are copied with a model: tokenizers, generation
/// settings, licences. Empty if `folder` is no folder.
std::set<std::string> extra_files(const std::filesystem::path& folder);

/// A model that is described but not read. Each tensor is made when it is written.
struct ModelSource {
  nlohmann::ordered_json config;       ///< config.json, without quantization_config
  model::ModelConfig model;            ///< the configuration in `config`
  std::vector<TensorToWrite> tensors;  ///< in the order of the source
  WeightShapes shapes;                 ///< parameter_shapes(model)
  NamedTensors masks;                  ///< in the form of mask_files.h; may be empty
  std::filesystem::path extras;        ///< a folder whose tokenizer and other small files are
                                       ///< copied
};

/// A Hugging Face folder with plain weights or ones compressed by compressed-tensors as
/// sparse-24-bitmask. The masks come from masks.safetensors or the bitmasks. Throws Error as
/// ModelWeights and read_masks do.
ModelSource open_folder(ModelFolder folder);

/// A llama2.c model (llama2c.h). `special` sets config.json's bos_token_id and eos_token_id.
ModelSource open_llama2c(const std::filesystem::path& path, const SpecialIds& special);

/// Converts floating-point tensors to `dtype`, rounded to nearest even, and updates config.json.
void convert_dtype(ModelSource& source, at::ScalarType dtype);

/// Writes config.json, masks.safetensors if there are masks, and the extra files.
void write_without_weights(const std::filesystem::path& folder, const ModelSource& source);

/// The usual limit of a file of weights in bytes, as in transformers 4.
inline constexpr uint64_t kLargestShard = 5'000'000'000;

/// Fills `folder` with config.json, the weights (model.safetensors, or shards of at most
/// `largest_shard` bytes with their index), masks.safetensors if there are masks, and the extra
/// files. Then reads it as a model is loaded, and throws Error if anything does not fit.
void write_folder(const std::filesystem::path& folder, const ModelSource& source,
                  uint64_t largest_shard);

/// The same, with every linear layer that is 2:4 along its rows as sparse-24-bitmask. Throws Error
/// if there is none, for GPT-2 (its linears are stored transposed, so their groups lie along
/// columns), and for a mask that does not keep two of each four or drops a value.
void write_compressed_folder(const std::filesystem::path& folder, const ModelSource& source,
                             uint64_t largest_shard);

/// Writes a llama2.c model in float32. Throws Error for properties that the format cannot hold:
/// another architecture, biases, another RoPE base or scaling, another width of the heads or
/// epsilon.
void write_llama2c(const std::filesystem::path& path, const ModelSource& source);

}  // namespace twofour::checkpoint
