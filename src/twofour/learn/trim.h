// The result of a mask-learning run: the likeliest masks of a checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "twofour/checkpoint/mask_files.h"
#include "twofour/checkpoint/safetensors.h"
#include "twofour/model/architectures.h"

namespace twofour::learn {

struct LearnedMasks {
  std::filesystem::path checkpoint;
  int64_t step = 0, steps = 0;     ///< done, and of the whole run
  checkpoint::NamedTensors masks;  ///< in the form of checkpoint/mask_files.h
  checkpoint::WeightShapes shapes;
  model::ModelConfig config;
  std::string model_hash;    ///< of the dense model (prune::hash_of_model)
  bool has_weights = false;  ///< the run trained the weights, too
};

/// Reads a run's newest checkpoint, or the one at `path` (RUN/checkpoints/step-N). Throws Error if
/// there is none, if it is damaged, or if the run did not learn masks.
LearnedMasks read_learned(const std::filesystem::path& path);

/// Fills `folder`, which exists, with a Hugging Face model: the weights of `dense`, or those that
/// the run trained, with zeros where the masks remove them, and masks.safetensors. Throws Error if
/// `dense` is not the model whose masks were learned.
void write_trimmed(const LearnedMasks& learned, const std::filesystem::path& dense,
                   const std::filesystem::path& folder);

}  // namespace twofour::learn
