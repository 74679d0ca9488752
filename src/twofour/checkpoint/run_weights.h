// The model of a run's checkpoint, in the form of RUN/model.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "twofour/checkpoint/model_config.h"
#include "twofour/checkpoint/model_weights.h"
#include "twofour/checkpoint/safetensors.h"

namespace twofour::checkpoint {

/// The configuration of the model in checkpoint `folder`, with its special ids if known. Throws
/// Error for missing or damaged parts.
FolderConfig checkpoint_config(const std::filesystem::path& folder);

/// The weights of the next step's products. For a layer that is sparse now, that is W ⊙ M or β S(W)
/// of its master W, made in float32 at each call; for others, the master. Layouts are those of the
/// architecture's files: GPT-2's linears are [in, out].
class RunWeights final : public ModelWeights {
 public:
  /// `folder` is a checkpoint, RUN/checkpoints/step-NNNNNNN. The files are mapped, so they stay
  /// readable if the run removes it. Throws Error for missing or damaged parts.
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
