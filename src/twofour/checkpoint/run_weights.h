// The model of a run's checkpoint as RUN/model would hold it.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "twofour/checkpoint/model_config.h"
#include "twofour/checkpoint/model_weights.h"
#include "twofour/checkpoint/safetensors.h"

namespace twofour::checkpoint {

/// What the model of the checkpoint in `folder` is, and its special ids as far as it says them.
/// Throws Error naming what is missing or damaged.
FolderConfig checkpoint_config(const std::filesystem::path& folder);

/// The weights that the next step's products use: where a layer is sparse now, W ⊙ M or β S(W) of
/// its master W, made in float32 at each call; else the masters. As files of the architecture
/// have them: GPT-2's linears are [in, out].
class RunWeights final : public ModelWeights {
 public:
  /// `folder` is a checkpoint, RUN/checkpoints/step-NNNNNNN. The files are mapped, so that they
  /// stay readable when the run removes it. Throws Error naming what is missing or damaged.
  explicit RunWeights(const std::filesystem::path& folder);

  const FolderConfig& config() const { return config_; }

  std::vector<std::string> names_as_stored() const override { return names(); }
  at::Tensor view(const std::string& name) const override;
  at::Tensor mask(const std::string& name) const override;
  void release(const std::string& name) const override { masters_.release(name); }

 private:
  RunWeights(const std::filesystem::path& folder, const nlohmann::ordered_json& state);

  FolderConfig config_;
  SafetensorsFile masters_, sparsity_;
  bool is_sparse_ = false;  ///< in a sparse phase
  bool is_soft_ = false;    ///< β S(W) instead of W ⊙ M
};

}  // namespace twofour::checkpoint
