#include "twofour/model/layers.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/rms_norm.h>

namespace twofour::model {

Linear empty_linear(int64_t outputs, int64_t inputs, bool has_bias,
                    const at::TensorOptions& options) {
  Linear layer;
  layer.weight = at::empty({outputs, inputs}, options);
  if (has_bias) layer.bias = at::empty({outputs}, options);
  return layer;
}

LayerNorm empty_layer_norm(int64_t width, const at::TensorOptions& options) {
  return {at::empty({width}, options), at::empty({width}, options)};
}

at::Tensor layer_norm(const at::Tensor& x, const LayerNorm& norm, double epsilon) {
  return at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, epsilon);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return at::rms_norm(x, {x.size(-1)}, weight, epsilon);
}

}  // namespace twofour::model
