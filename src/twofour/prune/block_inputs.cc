#include "twofour/prune/block_inputs.h"

namespace twofour::prune {

at::Tensor BlockInputs::run(const model::Model& model, int64_t block, const at::Tensor& x,
                            const model::Pass& pass) {
  // Kept until the end of the pass, so that no other input can have the address of one.
  std::vector<std::pair<at::Tensor, std::shared_ptr<tensor::GramSum>>> seen;
  const model::Observer observer = [&](const std::string& name, const model::Linear&,
                                       const at::Tensor& input) {
    if (!layers_.contains(name)) return at::Tensor();
    auto& gram = grams_[name];
    for (const auto& [other, its_gram] : seen) {
      if (!other.is_same(input)) continue;
      gram = its_gram;
      return at::Tensor();
    }
    if (!gram) gram = std::make_shared<tensor::GramSum>(input.size(1), sums_);
    gram->add(input);
    seen.emplace_back(input, gram);
    return at::Tensor();
  };
  return model::run_block(model, block, x, pass, observer);
}

// Other layers with the same inputs keep theirs.
void BlockInputs::permute(const std::string& layer, const at::Tensor& order) {
  auto& gram = grams_.at(layer);
  gram = std::make_shared<tensor::GramSum>(gram->permuted(order));
}

}  // namespace twofour::prune
