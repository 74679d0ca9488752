// The pre-training methods as combinations: one row a method, one column an axis.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "twofour/sparse/linear24.h"

namespace twofour::train {

/// W̃, the weight that a sparse layer's products use.
enum class ForwardWeight {
  kDense,  ///< W
  kSoft,   ///< β S(W): soft threshold 2:4 with a frozen scale (S-STE, arXiv 2409.09099, section 4)
};

struct Method {
  std::string_view name;
  ForwardWeight forward_weight;
  sparse::WeightGradient weight_gradient;
  double feed_forward_share;  ///< of 4 · width
  std::string_view summary;
};

const std::vector<Method>& methods();

/// Throws Error (usage) that lists the known names.
const Method& method_named(std::string_view name);

/// The layers that a method makes sparse: the feed-forward linears, as in the published runs.
bool is_sparse_layer(std::string_view weight_name);

}  // namespace twofour::train
