#include "twofour/train/methods.h"

#include "twofour/base/error.h"

namespace twofour::train {

using sparse::WeightGradient;

const std::vector<Method>& methods() {
  static const std::vector<Method> kMethods = {
      {"dense", ForwardWeight::kDense, WeightGradient::kExact, 1.0, "every weight, every product"},
      {"half", ForwardWeight::kDense, WeightGradient::kExact, 0.5,
       "dense with half the feed-forward width: the equal-FLOPs baseline"},
      {"s-ste", ForwardWeight::kSoft, WeightGradient::kMvue, 1.0,
       "continuous 2:4 pruning by soft threshold, MVUE weight gradients"},
  };
  return kMethods;
}

const Method& method_named(std::string_view name) {
  std::string known;
  for (const Method& method : methods()) {
    if (method.name == name) return method;
    known += known.empty() ? "" : ", ";
    known += method.name;
  }
  fail_usage("unknown method \"{}\": choose one of {}", printable(name), known);
}

bool is_sparse_layer(std::string_view weight_name) {
  return weight_name.find(".mlp.") != std::string_view::npos;
}

}  // namespace twofour::train
