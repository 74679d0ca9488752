#include "twofour/train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/sparse/accumulate.h"

namespace twofour::train {

AdamW::AdamW(std::vector<std::pair<std::string, at::Tensor>> parameters,
             const AdamWOptions& options)
    : options_(options) {
  groups_[0].weight_decay = options.weight_decay;
  for (auto& [name, parameter] : parameters) {
    Group& group = groups_[parameter.dim() >= 2 ? 0 : 1];
    group.names.push_back(name);
    group.gradients.push_back(sparse::gradient_of(parameter));
    group.exp_avg.push_back(at::zeros_like(parameter.detach()));
    group.exp_avg_sq.push_back(at::zeros_like(parameter.detach()));
    group.steps.push_back(at::scalar_tensor(0.0, at::kFloat));
    group.parameters.push_back(parameter.detach());
  }
}

double AdamW::step(double learning_rate) {
  const at::NoGradGuard no_gradients;
  double squares = 0.0;
  for (const Group& group : groups_) {
    for (const at::Tensor& gradient : group.gradients) {
      const double norm = at::linalg_vector_norm(gradient).item<double>();
      squares += norm * norm;
    }
  }
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) return norm;
  ++steps_taken_;
  // The fused update divides the gradient by this, so that clipping costs no pass of its own.
  constexpr double kEpsilon = 1e-6;  // of torch.nn.utils.clip_grad_norm_
  const double excess = options_.clip > 0 ? std::max(1.0, (norm + kEpsilon) / options_.clip) : 1.0;
  std::optional<at::Tensor> divisor;
  if (excess > 1.0) divisor = at::scalar_tensor(excess, at::kFloat);
  for (Group& group : groups_) {
    if (group.parameters.empty()) continue;
    for (at::Tensor& count : group.steps) count.fill_(static_cast<double>(steps_taken_));
    at::_fused_adamw_(group.parameters, group.gradients, group.exp_avg, group.exp_avg_sq, {},
                      group.steps, learning_rate, options_.beta1, options_.beta2,
                      group.weight_decay, options_.epsilon, /*amsgrad=*/false, /*maximize=*/false,
                      divisor, /*found_inf=*/{});
  }
  clear_gradients();
  return norm;
}

void AdamW::clear_gradients() {
  const at::NoGradGuard no_gradients;
  for (Group& group : groups_) {
    for (at::Tensor& gradient : group.gradients) gradient.zero_();
  }
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const Group& group : groups_) {
    for (size_t i = 0; i < group.names.size(); ++i) {
      tensors.emplace_back("exp_avg." + group.names[i], group.exp_avg[i]);
      tensors.emplace_back("exp_avg_sq." + group.names[i], group.exp_avg_sq[i]);
    }
  }
  return tensors;
}

void AdamW::set_steps_taken(int64_t steps) { steps_taken_ = steps; }

}  // namespace twofour::train
