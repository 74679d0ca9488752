#include "twofour/prune/layer.h"

#include <chrono>

#include <ATen/ops/count_nonzero.h>
#include <ATen/ops/isfinite.h>

#include "twofour/base/error.h"
#include "twofour/base/log.h"

namespace twofour::prune {
namespace {

using sparse::Pattern;

void check_inputs(const tensor::GramSum& gram, const std::string& name) {
  if (at::isfinite(gram.norms()).all().item<bool>()) return;
  fail(
      "the inputs of \"{}\" are not finite: a weight before it holds nan or infinity, or the "
      "activations overflow: try --dtype float32",
      printable(name));
}

// The factor of a layer's Hessian, made when it is first needed.
class LazyFactor {
 public:
  LazyFactor(const PruneOptions& options, tensor::GramSum* gram, const std::string& name)
      : options_(options), gram_(gram), name_(name) {}

  const sparse::HessianFactor& get() {
    if (!factor_) factor_ = sparse::factor_hessian(gram_->matrix(), options_.damping, name_);
    return *factor_;
  }
  std::optional<double> raised_damping() const {
    if (!factor_ || factor_->damping == options_.damping) return std::nullopt;
    return factor_->damping;
  }

 private:
  const PruneOptions& options_;
  tensor::GramSum* gram_;
  const std::string& name_;
  std::optional<sparse::HessianFactor> factor_;
};

at::Tensor scores_of(const PruneOptions& options, const at::Tensor& weight, tensor::GramSum* gram,
                     LazyFactor& factor) {
  switch (options.method) {
    case Method::kMagnitude:
      return weight.abs();
    case Method::kWanda:
      return sparse::wanda_scores(weight, gram->norms());
    case Method::kRia:
      return sparse::ria_scores(weight, gram->norms(), options.ria_power);
    case Method::kSparseGpt:
      return sparse::sparsegpt_scores(weight, factor.get());
  }
  fail("no such method");
}

// As in the published implementations.
sparse::Share share_of(Method method) {
  const bool is_by_row = method == Method::kWanda || method == Method::kRia;
  return is_by_row ? sparse::Share::kRow : sparse::Share::kMatrix;
}

// SparseGPT with updates chooses its mask from the updated weights.
bool chooses_while_updating(const PruneOptions& options) {
  return options.method == Method::kSparseGpt && options.weights != Weights::kUntouched &&
         options.weights != Weights::kMasked && !options.swaps;
}

// `updated`: SparseGPT's own weights for the mask, if there are any.
at::Tensor weight_for(const PruneOptions& options, const Pattern& pattern, const at::Tensor& weight,
                      const at::Tensor& mask, const at::Tensor& updated, tensor::GramSum* gram,
                      LazyFactor& factor) {
  switch (options.weights) {
    case Weights::kUntouched:
      return weight;
    case Weights::kMasked:
      return weight.mul(mask);
    case Weights::kUpdated:
      if (updated.defined()) return updated;
      return sparse::sparsegpt(weight, factor.get(), pattern, options.block_columns, mask).weight;
    case Weights::kAdmm:
      return sparse::reweight_admm(weight, mask, gram->matrix(), options.damping,
                                   options.admm_iterations, updated);
    case Weights::kExact:
      return sparse::reweight_exact(weight, mask, gram->matrix(), options.damping);
  }
  fail("no such weights");
}

}  // namespace

at::Tensor layer_scores(const PruneOptions& options, const at::Tensor& weight,
                        tensor::GramSum* gram, const std::string& name) {
  if (gram) check_inputs(*gram, name);
  LazyFactor factor(options, gram, name);
  return scores_of(options, weight, gram, factor);
}

double relative_error(const at::Tensor& weight, const at::Tensor& pruned, const at::Tensor& gram) {
  const double all = sparse::row_errors(weight, gram).sum().item<double>();
  const double lost = sparse::row_errors(weight.sub(pruned), gram).sum().item<double>();
  return all > 0 ? lost / all : 0.0;
}

LayerWeights prune_layer(const PruneOptions& options, const std::string& name,
                         const Pattern& pattern, const at::Tensor& weight, tensor::GramSum* gram) {
  const auto start = std::chrono::steady_clock::now();
  if (gram) check_inputs(*gram, name);
  LazyFactor factor(options, gram, name);
  LayerWeights pruned;
  LayerResult& result = pruned.result;
  at::Tensor updated;
  if (chooses_while_updating(options)) {
    const sparse::PrunedWeight chosen =
        sparse::sparsegpt(weight, factor.get(), pattern, options.block_columns);
    pruned.mask = chosen.mask;
    updated = chosen.weight;
  } else if (options.method == Method::kSparseGpt) {
    pruned.mask = sparse::sparsegpt_mask(weight, factor.get(), pattern, options.block_columns);
  } else {
    pruned.mask = sparse::mask_of_scores(scores_of(options, weight, gram, factor), pattern,
                                         share_of(options.method));
  }
  if (options.swaps && pattern.is_structured()) {
    const at::Tensor chosen = pruned.mask;
    pruned.mask = sparse::swap_mask(weight, chosen, gram->matrix(), pattern);
    result.swaps = at::count_nonzero(pruned.mask.ne(chosen)).item<int64_t>() / 2;
  }
  pruned.weight = weight_for(options, pattern, weight, pruned.mask, updated, gram, factor);
  result.name = name;
  result.pattern = pattern;
  result.rows = weight.size(0);
  result.columns = weight.size(1);
  result.zeros = weight.numel() - at::count_nonzero(pruned.mask).item<int64_t>();
  result.damping = factor.raised_damping();
  if (gram) {
    const bool is_untouched = options.weights == Weights::kUntouched;
    result.error = relative_error(weight, is_untouched ? weight.mul(pruned.mask) : pruned.weight,
                                  gram->matrix());
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return pruned;
}

}  // namespace twofour::prune
