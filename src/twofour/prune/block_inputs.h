// Observes the inputs of a block's linear layers.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "twofour/model/model.h"
#include "twofour/tensor/gram.h"

namespace twofour::prune {

/// The Gram matrices of the inputs of some layers of one block. Layers with the same input (the
/// queries, keys and values) share one.
class BlockInputs {
 public:
  BlockInputs(std::set<std::string> layers, at::ScalarType sums)
      : layers_(std::move(layers)), sums_(sums) {}

  /// model::run_block, observed.
  at::Tensor run(const model::Model& model, int64_t block, const at::Tensor& x,
                 const model::Pass& pass);

  /// After all samples.
  tensor::GramSum& gram(const std::string& layer) { return *grams_.at(layer); }
  /// Reorders the layer's inputs: new input j is the old input order[j].
  void permute(const std::string& layer, const at::Tensor& order);
  /// Frees the matrix if no other layer needs it.
  void drop(const std::string& layer) { grams_.erase(layer); }

 private:
  std::set<std::string> layers_;
  at::ScalarType sums_;
  std::map<std::string, std::shared_ptr<tensor::GramSum>> grams_;
};

}  // namespace twofour::prune
