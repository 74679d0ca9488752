#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::model {

/// A matrix outside the linear layers: a token or position embedding, the output matrix.
struct Table {
  at::Tensor weight;  ///< the parameter: float32 when training
  /// Its copy in the compute dtype, made once per optimiser step. Undefined: `weight` is used.
  at::Tensor forward_weight;

  const at::Tensor& used() const { return forward_weight.defined() ? forward_weight : weight; }
};

}  // namespace twofour::model
