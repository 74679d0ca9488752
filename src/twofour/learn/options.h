// The options of mask learning (MaskLLM, arXiv 2409.17481). The defaults are the published ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <c10/core/ScalarType.h>

#include "twofour/checkpoint/safetensors.h"
#include "twofour/prune/options.h"
#include "twofour/sparse/pruning.h"
#include "twofour/train/options.h"

namespace twofour::learn {

/// A value that changes linearly from the first to the last step.
struct Linear {
  double first = 0, last = 0;

  /// The value of `step` (0, 1, …) of `steps`; `last` is reached after the last one.
  double at(int64_t step, int64_t steps) const {
    const double done = static_cast<double>(step) / static_cast<double>(steps);
    return first + (last - first) * done;
  }
};

/// Where the logits start: a mask whose candidate is the likeliest in each group.
struct Prior {
  std::string name = "none";            ///< a method, a path, or "none"; for the record
  std::optional<prune::Method> method;  ///< prune the model by it first, masks only
  int64_t samples = 128;                ///< of the training data, for the method
  checkpoint::NamedTensors masks;       ///< from a path, in the form of checkpoint/mask_files.h
  double strength = 3;                  ///< α of the paper's section 3.4
};

struct LearnOptions {
  /// model.init is the dense model's folder; model.method only sets β2. The learning rate is that
  /// of the weights, and that of the logits divided by logits_factor.
  train::TrainOptions train;

  sparse::Pattern pattern;  ///< N:M with at most kernels::kMostCandidates candidates
  /// Regular expressions on the names of weights, as in prune/options.h.
  std::vector<std::string> include, exclude;
  Prior prior;

  Linear kappa{100, 500};  ///< multiplies the logits
  Linear tau{4, 0.05};     ///< the temperature
  /// λ of the loss - λ Σ (W ⊙ soft mask)²; falls linearly to 0.
  double regularisation = 1e-5;
  bool is_hard = false;                ///< one candidate in forward, straight through in backward
  double deviation = 0.01;             ///< of the initial logits
  double logits_factor = 10;           ///< of the learning rate
  bool trains_weights = false;         ///< of the whole model, with the masks
  bool distills_itself = false;        ///< the teacher is the dense model
  at::ScalarType logits = at::kFloat;  ///< float32 or bfloat16
};

/// The method of a run's log and checkpoints.
inline constexpr char kMethodName[] = "maskllm";

/// The values of train::TrainOptions that differ from pre-training's.
train::TrainOptions default_train_options();

/// "float32", "bfloat16" or "8bit", and back. Throws Error (usage) for other text.
train::Moments moments_named(const std::string& name);
std::string name_of(train::Moments moments);

/// "2:4". Throws Error (usage) for other text, and for a pattern without 2 to kMostCandidates
/// candidates.
sparse::Pattern pattern_named(const std::string& text);

/// Throws Error (usage) for values out of range or that cannot be combined.
void check(const LearnOptions& options);

}  // namespace twofour::learn
