#include "twofour/model/network.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>

namespace twofour::model {

at::Tensor Pass::linear(const at::Tensor& x, const Linear& layer) const {
  if (observer) {
    if (const at::Tensor weight = observer(layer, x); weight.defined()) {
      return at::linear(x, weight, layer.forward_bias.defined() ? layer.forward_bias : layer.bias);
    }
  }
  return sparse::linear(x, layer);
}

at::Tensor Pass::split_heads(const at::Tensor& x, int64_t heads) const {
  return model::split_heads(x, batch, heads);
}

at::Tensor Pass::attend(const at::Tensor& queries, const at::Tensor& keys,
                        const at::Tensor& values) const {
  return model::attend(queries, keys, values, cache, block);
}

at::Tensor gated_feed_forward(const Pass& pass, const at::Tensor& x, const Linear& gate,
                              const Linear& up, const Linear& down) {
  const at::Tensor opened = at::silu(pass.linear(x, gate));
  return pass.linear(opened.mul(pass.linear(x, up)), down);
}

}  // namespace twofour::model
