// Prunes the blocks of a model one after another.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "twofour/base/progress.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/prune/block_inputs.h"
#include "twofour/prune/hidden_states.h"
#include "twofour/prune/layer.h"
#include "twofour/prune/layer_plan.h"
#include "twofour/prune/options.h"
#include "twofour/prune/pruned_folder.h"
#include "twofour/prune/reconstruct.h"

namespace twofour::prune {

class BlockPruner {
 public:
  /// `ids`: the samples, undefined for none. All arguments must outlive it.
  BlockPruner(const checkpoint::ModelFolder& folder, const PruneOptions& options,
              const LayerPlan& plan, PrunedFolder& out, const at::Tensor& ids);

  /// Prunes all blocks of the plan that `out` lacks.
  void run();

 private:
  bool is_sequential() const { return options_.inputs == Inputs::kSequential; }
  const std::map<std::string, sparse::Pattern>& patterns(int64_t i) const {
    return plan_.blocks[static_cast<size_t>(i)];
  }

  void pass_finished(int64_t i);
  void prune_block(int64_t i);
  void check_finite(int64_t i);
  void observe(int64_t i, BlockInputs& inputs);
  std::set<std::string> permute(int64_t i, BlockInputs& inputs);
  at::Tensor dense_weight(const std::string& name);
  void reconstruct(int64_t i, std::map<std::string, MaskedWeight>& weights, BlockInputs& inputs,
                   BlockResult& result);
  void write(const std::string& name, const MaskedWeight& layer);
  void write_others(int64_t i);

  void show(int64_t i, double share, const std::string& detail);
  HiddenStates::Progress progress(int64_t i, double from, double to, const std::string& detail);

  const checkpoint::ModelFolder& folder_;
  const PruneOptions& options_;
  const LayerPlan& plan_;
  PrunedFolder& out_;
  model::Model model_;                    // with one block, in options_.dtype
  std::optional<model::Model> master_;    // the dense block in float32, if it is permuted
  std::unique_ptr<HiddenStates> states_;  // null without calibration
  ProgressBar bar_;
};

}  // namespace twofour::prune
