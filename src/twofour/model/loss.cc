#include "twofour/model/loss.h"

#include <algorithm>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/scalar_tensor.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/kernels/training/cross_entropy.h"
#include "twofour/sparse/linear24.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

constexpr int64_t kLogitsBytes = int64_t{128} << 20;

int64_t rows_at_a_time(int64_t rows, int64_t vocabulary, size_t bytes_per_logit) {
  const int64_t fitting = kLogitsBytes / (vocabulary * static_cast<int64_t>(bytes_per_logit));
  return std::max<int64_t>(1, std::min((rows + 1) / 2, fitting));
}

void check_targets(std::span<const int64_t> targets, const at::Tensor& hidden, int64_t vocabulary) {
  if (static_cast<int64_t>(targets.size()) != hidden.size(0)) {
    fail("{} targets for {} tokens", targets.size(), hidden.size(0));
  }
  for (const int64_t target : targets) {
    if (target < 0 || target >= vocabulary) {
      fail("token id {} is outside the model's vocabulary of {}", target, vocabulary);
    }
  }
}

// Calls fn(pointer to the logits, with the kernels' type).
template <class Fn>
void with_typed_logits(const at::Tensor& logits, Fn&& fn) {
  tensor::with_type(logits.scalar_type(), [&](auto* type) {
    fn(static_cast<tensor::Pointee<decltype(type)>*>(logits.mutable_data_ptr()));
  });
}

// Runs fn(logits, targets, first row) over a few rows of `hidden` at a time.
template <class Fn>
void for_logits(const Table& output, const at::Tensor& hidden, std::span<const int64_t> targets,
                Fn&& fn) {
  const int64_t rows = hidden.size(0);
  const int64_t chunk = rows_at_a_time(rows, output.weight.size(0), hidden.element_size());
  for (int64_t first = 0; first < rows; first += chunk) {
    const int64_t count = std::min(chunk, rows - first);
    const at::Tensor logits = logits_of(output, hidden.narrow(0, first, count));
    fn(logits, targets.subspan(static_cast<size_t>(first), static_cast<size_t>(count)), first);
  }
}

// Replaces `logits` by `scale` times the gradient of their rows' losses; returns the losses' sum.
double distilled_gradient(const at::Tensor& logits, const at::Tensor& teacher,
                          std::span<const int64_t> targets, double weight, float scale) {
  const at::Tensor ids =
      at::from_blob(const_cast<int64_t*>(targets.data()), {static_cast<int64_t>(targets.size()), 1},
                    at::TensorOptions().dtype(at::kLong));
  const at::Tensor log_p = at::log_softmax(logits.to(at::kFloat), 1);
  const at::Tensor log_q = at::log_softmax(teacher.to(at::kFloat), 1);
  const at::Tensor q = log_q.exp();
  const double nll = -log_p.gather(1, ids).sum(at::kDouble).item<double>();
  const double divergence = log_q.sub(log_p).mul_(q).sum(at::kDouble).item<double>();
  at::Tensor gradient = log_p.exp().sub_(q, weight);
  gradient.scatter_add_(1, ids, at::full(ids.sizes(), weight - 1.0, gradient.options()));
  logits.copy_(gradient.mul_(scale));
  return (1.0 - weight) * nll + weight * divergence;
}

struct LossFunction : torch::autograd::Function<LossFunction> {
  static Variable forward(AutogradContext* context, const Variable& hidden, const Variable& weight,
                          const Table& output, std::span<const int64_t> targets,
                          double gradient_scale, const Teacher& teacher) {
    const auto scale = static_cast<float>(gradient_scale / static_cast<double>(hidden.size(0)));
    at::Tensor dhidden = at::empty_like(hidden);
    double total = 0.0;
    for_logits(output, hidden, targets,
               [&](const at::Tensor& logits, std::span<const int64_t> part, int64_t first) {
                 if (teacher.hidden.defined()) {
                   const at::Tensor rows = teacher.hidden.narrow(0, first, logits.size(0));
                   total += distilled_gradient(logits, logits_of(teacher.output, rows), part,
                                               teacher.weight, scale);
                 } else {
                   with_typed_logits(logits, [&](auto* values) {
                     total += kernels::cross_entropy_gradient(values, part.data(), logits.size(0),
                                                              logits.size(1), scale);
                   });
                 }
                 dhidden.narrow(0, first, logits.size(0))
                     .copy_(sparse::input_gradient_product(logits, output.used().detach()));
                 if (!weight.requires_grad()) return;
                 sparse::add_weight_gradient_product(
                     logits, hidden.narrow(0, first, logits.size(0)), tensor::gradient_of(weight));
               });
    context->save_for_backward({dhidden});
    return at::scalar_tensor(total / static_cast<double>(hidden.size(0)), at::kDouble);
  }

  static variable_list backward(AutogradContext* context, const variable_list&) {
    variable_list gradients(6);
    gradients[0] = context->get_saved_variables()[0];
    return gradients;
  }
};

}  // namespace

at::Tensor logits_of(const Table& output, const at::Tensor& hidden) {
  return sparse::forward_product(hidden, output.used(), {});
}

at::Tensor next_token_nll(const Table& output, const at::Tensor& hidden,
                          std::span<const int64_t> targets) {
  const at::NoGradGuard no_gradients;
  check_targets(targets, hidden, output.weight.size(0));
  at::Tensor nll = at::empty({hidden.size(0)}, at::TensorOptions().dtype(at::kFloat));
  for_logits(output, hidden, targets,
             [&](const at::Tensor& logits, std::span<const int64_t> part, int64_t first) {
               with_typed_logits(logits, [&](auto* values) {
                 kernels::cross_entropy(values, part.data(), logits.size(0), logits.size(1),
                                        nll.mutable_data_ptr<float>() + first);
               });
             });
  return nll;
}

at::Tensor next_token_loss(const Table& output, const at::Tensor& hidden,
                           std::span<const int64_t> targets, double gradient_scale,
                           const Teacher& teacher) {
  if (!at::GradMode::is_enabled()) {
    return next_token_nll(output, hidden, targets).to(at::kDouble).mean();
  }
  check_targets(targets, hidden, output.weight.size(0));
  return LossFunction::apply(hidden, output.weight, output, targets, gradient_scale, teacher);
}

}  // namespace twofour::model
