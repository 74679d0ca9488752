// The forward weights of a model under training: made anew from the masters after every optimiser
// step, with the masks that they need and that the flip rate compares.
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
  /// Mask entries that changed from one search to the next, per step between them (FST, arXiv
  /// 2404.01847, section 3.1). 0 without masks.
  double flip_rate = 0;
  double zeros = 0;  ///< entries of W̃ that are zero; 0 in a dense phase
};

class SparseWeights {
 public:
  /// `model` must outlive this. Chooses the layers and allocates their forward weights. Throws
  /// Error (usage) when the pattern matches no layer, is no regular expression, or matches one that
  /// cannot be sparse.
  ///
  /// `given` are the masks of ForwardWeight::kFixed by their weights' names (packed as state() has
  /// them): they choose the layers, among those that the pattern matches where it is not the
  /// default.
  SparseWeights(model::Model& model, const Method& method, at::ScalarType compute_dtype,
                uint64_t seed, const std::vector<std::pair<std::string, at::Tensor>>& given = {});

  /// Whether `name` is the weight of a chosen layer.
  bool has(const std::string& name) const;

  /// The start of a run: each layer's frozen scale β and the first masks, from the initial weights.
  /// A resumed run restores them through state() instead.
  void initialise();

  /// Makes what the next step uses, after `updates` optimiser updates: masks where a search is due
  /// (every mask_interval updates, and at the first sparse step), then every forward weight from
  /// its master. Repeating a call changes nothing, so that a resumed run may begin with it.
  void prepare(int64_t updates, bool is_sparse);

  /// Adds λ · divisor · (1 - M) ⊙ W to the gradients of the masked layers (DecayOn::kGradient); see
  /// AdamW::step for the divisor. Nothing in a dense phase.
  void decay_gradients(double divisor);

  /// W -= learning_rate · λ (1 - M) ⊙ W (DecayOn::kWeight), after the update, with the masks of the
  /// step that was taken.
  void decay_weights(double learning_rate);

  /// Names the random numbers of the next backward pass in every chosen layer. `micro_batch` counts
  /// over all micro-batches of a step, so that accumulation draws fresh numbers.
  void set_stream(int64_t step, int64_t micro_batch);

  SparsityStatistics statistics() const;
  /// The statistics as metrics.
  std::vector<Metric> metrics() const;

  /// The flip rate of each masked layer by its weight's name.
  std::vector<std::pair<std::string, double>> flip_rates() const;

  /// Of each masked layer "NAME.mask" (uint8, 8 entries a byte, most significant bit first),
  /// "NAME.scale" (β, float64), "NAME.flips" (int64: of the last search); and "searches" (int64:
  /// the updates before the last two searches, and 1 in the sparse phase). The tensors share
  /// memory: filling them restores it.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

  /// The mask of each sparse layer by its weight's name; empty in a dense phase.
  std::vector<std::pair<std::string, at::Tensor>> masks() const;

  /// Puts W̃ in float32 in place of each sparse master: what the saved model holds. The end of a
  /// run. Nothing in a dense phase.
  void replace_masters();

 private:
  struct Layer {
    std::string name;
    model::Linear* linear;
    at::Tensor forward;  // W̃; undefined where only masks are watched in float32
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
  std::vector<model::Linear*> others_;  // all others, where the compute dtype is not the masters'
  // int64: updates before the last search, before the one before, and whether W̃ is sparse now, so
  // that a resumed run knows its first sparse step from the others.
  at::Tensor searches_;
};

}  // namespace twofour::train
