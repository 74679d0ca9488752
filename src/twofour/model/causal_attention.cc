#include "twofour/model/causal_attention.h"

#include <algorithm>
#include <tuple>

#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/csrc/autograd/custom_function.h>

#include "twofour/base/parallel.h"
#include "twofour/tensor/choice.h"

namespace twofour::model {
namespace {

using tensor::Implementation;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

constexpr int64_t kLeastWork = int64_t{1} << 20;  // fewer multiply-adds need no choice
constexpr int64_t kTimedTokens = 2048;

struct Attended {
  at::Tensor out, logsumexp;
};

Attended forward_flash(const at::Tensor& queries, const at::Tensor& keys,
                       const at::Tensor& values) {
  auto [out, logsumexp] = at::_scaled_dot_product_flash_attention_for_cpu(
      queries, keys, values, /*dropout_p=*/0.0, /*is_causal=*/true);
  return {out, logsumexp};
}

variable_list backward_flash(const at::Tensor& gradient, const at::Tensor& queries,
                             const at::Tensor& keys, const at::Tensor& values,
                             const Attended& attended) {
  auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      gradient, queries, keys, values, attended.out, attended.logsumexp, /*dropout_p=*/0.0,
      /*is_causal=*/true);
  return {dq, dk, dv};
}

at::Tensor wide(const at::Tensor& x) { return x.to(at::kFloat); }

struct WideAttention : torch::autograd::Function<WideAttention> {
  static Variable forward(AutogradContext* context, const Variable& queries, const Variable& keys,
                          const Variable& values) {
    const Attended attended = forward_flash(wide(queries), wide(keys), wide(values));
    const at::Tensor out = attended.out.to(queries.scalar_type());
    context->save_for_backward({queries, keys, values, out, attended.logsumexp});
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    variable_list wide_gradients =
        backward_flash(wide(gradients[0]), wide(saved[0]), wide(saved[1]), wide(saved[2]),
                       {wide(saved[3]), saved[4]});
    for (at::Tensor& each : wide_gradients) each = each.to(saved[0].scalar_type());
    return wide_gradients;
  }
};

// Always with the gradient, which takes most of the time. Both modes thus share one choice, and
// recomputed activations equal the first ones.
void run_both_ways(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
  const Attended attended = forward_flash(queries, keys, values);
  backward_flash(attended.out, queries, keys, values, attended);
}

std::vector<tensor::Candidate> candidates_of(const at::Tensor& queries, const at::Tensor& keys,
                                             const at::Tensor& values) {
  const int64_t tokens = std::min(queries.size(2), kTimedTokens);
  const int64_t heads = std::min<int64_t>(queries.size(1), std::max(thread_count(), 4));
  const auto part = [=](const at::Tensor& x) {
    return x.detach().narrow(0, 0, 1).narrow(1, 0, heads).narrow(2, 0, tokens);
  };
  const at::Tensor q = part(queries), k = part(keys), v = part(values);
  return {{Implementation::kFloat32, [=] { run_both_ways(wide(q), wide(k), wide(v)); }},
          {Implementation::kDense, [=] { run_both_ways(q, k, v); }}};
}

bool is_faster_in_float32(const at::Tensor& queries, const at::Tensor& keys,
                          const at::Tensor& values) {
  const int64_t heads = queries.size(0) * queries.size(1), tokens = queries.size(2);
  if (!queries.is_cpu() || queries.scalar_type() == at::kFloat) return false;
  if (heads * tokens * tokens * queries.size(3) < kLeastWork) return false;
  const tensor::ProductShape shape = {tensor::Product::kAttention, tokens, queries.size(3), heads,
                                      queries.scalar_type()};
  const auto candidates = [&] { return candidates_of(queries, keys, values); };
  return tensor::choose(shape, candidates) == Implementation::kFloat32;
}

}  // namespace

at::Tensor causal_attention(const at::Tensor& queries, const at::Tensor& keys,
                            const at::Tensor& values) {
  if (is_faster_in_float32(queries, keys, values)) {
    return WideAttention::apply(queries, keys, values);
  }
  return at::scaled_dot_product_attention(queries, keys, values, {}, /*dropout_p=*/0.0,
                                          /*is_causal=*/true);
}

}  // namespace twofour::model
