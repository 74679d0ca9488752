// The forward weights of a model under training: made anew from the masters after every optimiser
// step, with the masks that the flip rate compares.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "twofour/model/gpt2.h"
#include "twofour/train/methods.h"

namespace twofour::train {

/// Shares of all entries of the sparse layers; both are 0 when no layer is sparse.
struct SparsityStatistics {
  double flip_rate = 0;  ///< mask entries that changed since the last refresh (FST, section 3.1)
  double zeros = 0;      ///< entries of W̃ that are zero
};

class SparseWeights {
 public:
  /// `model` must outlive this. Allocates the forward weights; refresh() fills them.
  SparseWeights(model::Gpt2& model, const Method& method, at::ScalarType compute_dtype,
                uint64_t seed);

  /// Sets each layer's frozen scale β from the current (initial) weights. A resumed run restores it
  /// through state() instead.
  void initialise();

  /// Makes every forward weight from its master. Called once before the first step and after each
  /// optimiser step, never more: the flip rate counts from call to call.
  SparsityStatistics refresh();

  /// Names the random numbers of the next backward pass in every sparse layer. `micro_batch` counts
  /// over all micro-batches of a step, so that accumulation draws fresh numbers.
  void set_stream(int64_t step, int64_t micro_batch);

  /// "NAME.mask" (uint8, 8 entries a byte, most significant bit first) and "NAME.scale" (β,
  /// float64) of each sparse layer; empty for a dense method. The tensors share memory: filling
  /// them restores it.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

  /// The mask of each sparse layer by its weight's name.
  std::vector<std::pair<std::string, at::Tensor>> masks() const;

  /// Puts W̃ in float32 in place of each sparse master: what the saved model holds. The end of a
  /// run.
  void replace_masters();

 private:
  struct Layer {
    std::string name;
    model::Linear* linear;
    at::Tensor mask, scale;
  };
  void refresh_dense();

  model::Gpt2& model_;
  Method method_;
  at::ScalarType dtype_;
  uint64_t seed_;
  std::vector<Layer> layers_;  // the sparse ones
};

}  // namespace twofour::train
