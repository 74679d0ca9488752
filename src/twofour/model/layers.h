// Parts of a block that several architectures share. D width, F feed-forward width, N tokens.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "twofour/sparse/linear24.h"

namespace twofour::model {

using sparse::Linear;

/// Parameters with shapes and no values.
Linear empty_linear(int64_t outputs, int64_t inputs, bool has_bias,
                    const at::TensorOptions& options);

struct LayerNorm {
  at::Tensor weight, bias;  ///< [D]
};
LayerNorm empty_layer_norm(int64_t width, const at::TensorOptions& options);
at::Tensor layer_norm(const at::Tensor& x, const LayerNorm& norm, double epsilon);

/// RMSNorm (Zhang & Sennrich, arXiv 1910.07467) over the last dimension, which has weight's size.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon);

}  // namespace twofour::model
