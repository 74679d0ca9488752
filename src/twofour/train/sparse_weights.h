// The forward weights of a model during training. They are computed from the masters after every
// optimiser step, with their masks, which the flip rate compares.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "twofour/model/model.h"
#include "twofour/sparse/masks.h"
#include "twofour/train/methods.h"
#include "twofour/train/metrics.h"

namespace twofour::train {

/// Shares of all entries of the chosen layers.
struct SparsityStatistics {
  /// Mask entries that changed between two searches, per step (FST, arXiv 2404.01847, section 3.1).
  /// 0 without masks.
  double flip_rate = 0;
  double zeros = 0;  ///< entries of W̃ that are zero; 0 in a dense phase
};

class SparseWeights {
 public:
  /// `model` must outlive this. Chooses the layers and allocates their forward weights. Throws
  /// Error (usage) if the pattern is invalid, matches no layer, or matches one that cannot be
  /// sparse.
  ///
  /// `given` are the masks of ForwardWeight::kFixed by weight name, packed as in state(). They
  /// choose the layers, within the pattern if it is not the default.
  SparseWeights(model::Model& model, const Method& method, at::ScalarType compute_dtype,
                uint64_t seed, const std::vector<std::pair<std::string, at::Tensor>>& given = {});

  /// Whether `name` is the weight of a chosen layer.
  bool has(const std::string& name) const;

  /// Starts a run: computes each layer's frozen scale β and the first masks from the initial
  /// weights. A resumed run restores them through state() instead.
  void initialise();

  /// Prepares the next step, after `updates` optimiser updates: masks if a search is due (every
  /// mask_interval updates, and at the first sparse step), then every forward weight from its
  /// master. A repeated call has no effect, so a resumed run may begin with it.
  void prepare(int64_t updates, bool is_sparse);

  /// Adds λ · divisor · (1 - M) ⊙ W to the gradients of the masked layers (DecayOn::kGradient); for
  /// the divisor see AdamW::step. Does nothing in a dense phase.
  void decay_gradients(double divisor);

  /// W -= learning_rate · λ (1 - M) ⊙ W (DecayOn::kWeight), after the update, with the masks of
  /// that step.
  void decay_weights(double learning_rate);

  /// Sets the random numbers of the next backward pass in every chosen layer. `micro_batch` counts
  /// all micro-batches of a step, so that each one draws fresh numbers.
  void set_stream(int64_t step, int64_t micro_batch);

  SparsityStatistics statistics() const;
  /// The statistics as metrics.
  std::vector<Metric> metrics() const;

  /// The flip rate of each masked layer, by weight name.
  std::vector<std::pair<std::string, double>> flip_rates() const;

  /// For each masked layer "NAME.mask" (uint8, 8 entries a byte, most significant bit first),
  /// "NAME.scale" (β, float64) and "NAME.flips" (int64, of the last search); and "searches" (int64:
  /// the updates before the last two searches, and 1 in the sparse phase). The tensors share
  /// memory, so filling them restores it.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

  /// The mask of each sparse layer by weight name; empty in a dense phase.
  std::vector<std::pair<std::string, at::Tensor>> masks() const;

  /// Replaces each sparse master by W̃ in float32, for the saved model at the end of a run. Does
  /// nothing in a dense phase.
  void replace_masters();

 private:
  struct Layer {
    std::string name;
    model::Linear* linear;
    at::Tensor forward;  // W̃; undefined if masks are only watched in float32
    at::Tensor mask, scale, flips;
    int64_t zeros = 0;
    c10::intrusive_ptr<sparse::Weight24> weight24;
  };
  void choose_layers(const std::vector<std::pair<std::string, at::Tensor>>& given);
  void set_up(Layer& layer);
  static bool keeps_two_of_four(const Layer& layer);
  void copy_masters();
  bool is_search_due(int64_t updates, bool is_sparse) const;
  void search(Layer& layer);
  void make(Layer& layer, bool is_search_due);
  void make_sparse(Layer& layer, const at::Tensor& out, bool is_search_due);
  sparse::MaskSearch mask_search() const;
  bool is_sparse_now() const;
  double steps_between_searches() const;

  model::Model& model_;
  Method method_;
  at::ScalarType dtype_;
  uint64_t seed_;
  std::vector<Layer> layers_;           // the chosen ones
  std::vector<model::Linear*> others_;  // all others, if the compute dtype differs from the
                                        // masters'
  // int64: updates before the last search and the one before, and whether W̃ is sparse now, so that
  // a resumed run recognises its first sparse step.
  at::Tensor searches_;
};

}  // namespace twofour::train
