// The hidden states of the calibration samples on their way through the blocks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/model/model.h"
#include "twofour/prune/activations.h"
#include "twofour/prune/options.h"

namespace twofour::prune {

/// Samples are processed in batches of about 2048 tokens, which do not depend on the machine.
class HiddenStates {
 public:
  /// Embeds `ids` [samples, context] by the frame of `model`. Files that memory cannot hold lie in
  /// `folder`.
  HiddenStates(const model::Model& model, const at::Tensor& ids, const PruneOptions& options,
               const std::filesystem::path& folder);

  size_t batches() const { return passes_.size(); }
  const std::vector<model::Pass>& passes() const { return passes_; }

  /// The inputs of the next block.
  const Activations& inputs() const { return *inputs_; }
  /// The dense model's hidden states, kept beside the inputs as the targets of a reconstruction;
  /// null if there is none.
  const Activations* dense() const { return dense_.get(); }

  using Progress = std::function<void(double share)>;
  /// Replaces the inputs, or the dense states, by those after block i as it is in `model`.
  void advance_inputs(const model::Model& model, int64_t i, const Progress& progress);
  void advance_dense(const model::Model& model, int64_t i, const Progress& progress);

  /// Sets the dense block's output of a batch: of its inputs, if those are the dense model's.
  void set_dense_output(size_t batch, const at::Tensor& output);
  /// After all batches: the dense outputs become the inputs.
  void take_dense_outputs();

 private:
  void advance(Activations& states, const model::Model& model, int64_t i, const Progress& progress);

  std::vector<model::Pass> passes_;
  std::unique_ptr<Activations> inputs_, dense_;
};

}  // namespace twofour::prune
