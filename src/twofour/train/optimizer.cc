#include "twofour/train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <regex>

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/kernels/training/adamw.h"
#include "twofour/tensor/accumulate.h"

namespace twofour::train {

namespace {

size_t group_of(const std::string& name, const at::Tensor& parameter,
                const std::vector<ParameterGroup>& groups,
                const std::vector<std::regex>& patterns) {
  for (size_t i = 0; i < groups.size(); ++i) {
    if (parameter.dim() < groups[i].least_dimensions) continue;
    if (std::regex_search(name, patterns[i])) return i;
  }
  fail("no group of parameters takes \"{}\"", printable(name));
}

void require_dtype(const std::string& name, const at::Tensor& parameter) {
  const at::ScalarType dtype = parameter.scalar_type();
  if (dtype == at::kFloat || dtype == at::kBFloat16) return;
  fail("\"{}\" is {}: AdamW takes parameters in float32 or bfloat16", printable(name),
       c10::toString(dtype));
}

double bias_correction(double beta, int64_t steps) {
  return 1.0 - std::pow(beta, static_cast<double>(steps));
}

}  // namespace

std::vector<ParameterGroup> decay_on_matrices(double weight_decay) {
  ParameterGroup matrices;
  matrices.least_dimensions = 2;
  matrices.weight_decay = weight_decay;
  return {matrices, ParameterGroup()};
}

AdamW::AdamW(std::vector<std::pair<std::string, at::Tensor>> parameters,
             const AdamWOptions& options,
             const std::function<bool(const std::string& name)>& freezes)
    : options_(options), counters_(at::zeros({2}, at::kLong)) {
  counters_.mutable_data_ptr<int64_t>()[1] = -1;
  for (const bool can_freeze : {true, false}) {
    for (const ParameterGroup& rule : options.groups) {
      Group& group = groups_.emplace_back();
      group.rule = rule;
      group.freezes = can_freeze;
    }
  }
  std::vector<std::regex> patterns;
  for (const ParameterGroup& rule : options.groups) patterns.emplace_back(rule.pattern);
  uint32_t index = RandomStream::kRounding;
  for (auto& [name, parameter] : parameters) {
    const size_t place = group_of(name, parameter, options.groups, patterns);
    const RandomStream stream = {options.seed, 0, 0, index++};
    if (options.moments != Moments::kFloat32 || parameter.scalar_type() != at::kFloat) {
      require_dtype(name, parameter);
      small_.push_back({name, parameter.detach(), tensor::gradient_of(parameter),
                        make_moments(parameter, options.moments), options.groups[place], stream});
      continue;
    }
    const bool can_freeze = !freezes || freezes(name);
    Group& group = groups_[(can_freeze ? 0 : options.groups.size()) + place];
    group.names.push_back(name);
    group.gradients.push_back(tensor::gradient_of(parameter));
    group.exp_avg.push_back(at::zeros_like(parameter.detach()));
    group.exp_avg_sq.push_back(at::zeros_like(parameter.detach()));
    group.steps.push_back(at::scalar_tensor(0.0, at::kFloat));
    group.parameters.push_back(parameter.detach());
  }
}

double AdamW::gradient_norm() const {
  double squares = 0.0;
  const auto add = [&](const at::Tensor& gradient) {
    const double norm = at::linalg_vector_norm(gradient).item<double>();
    squares += norm * norm;
  };
  for (const Group& group : groups_) {
    for (const at::Tensor& gradient : group.gradients) add(gradient);
  }
  for (const SmallParameter& one : small_) add(one.gradient);
  return std::sqrt(squares);
}

double AdamW::step(double learning_rate, double loss_scale,
                   const std::function<void(double divisor)>& before_update) {
  const at::NoGradGuard no_gradients;
  const double norm = gradient_norm() / loss_scale;
  if (!std::isfinite(norm)) return norm;
  ++counters_.mutable_data_ptr<int64_t>()[0];
  constexpr double kEpsilon = 1e-6;  // as in torch.nn.utils.clip_grad_norm_
  const double excess = options_.clip > 0 ? std::max(1.0, (norm + kEpsilon) / options_.clip) : 1.0;
  const double divisor = loss_scale * excess;
  if (before_update) before_update(divisor);
  for (Group& group : groups_) {
    if (group.parameters.empty()) continue;
    const double rate = learning_rate * group.rule.learning_rate_factor;
    if (group.freezes && has_frozen_second_moment()) {
      update_with_frozen_moment(group, rate, divisor);
    } else {
      update(group, rate, divisor);
    }
  }
  update_small_parameters(learning_rate, divisor);
  clear_gradients();
  return norm;
}

void AdamW::update(Group& group, double learning_rate, double divisor) {
  // The fused update divides the gradient by this, so clipping needs no separate pass.
  std::optional<at::Tensor> scale;
  if (divisor != 1.0) scale = at::scalar_tensor(divisor, at::kFloat);
  for (at::Tensor& count : group.steps) count.fill_(static_cast<double>(steps_taken()));
  at::_fused_adamw_(group.parameters, group.gradients, group.exp_avg, group.exp_avg_sq, {},
                    group.steps, learning_rate, options_.beta1, options_.beta2,
                    group.rule.weight_decay, options_.epsilon, /*amsgrad=*/false,
                    /*maximize=*/false, scale,
                    /*found_inf=*/{});
}

void AdamW::update_small_parameters(double learning_rate, double divisor) {
  kernels::AdamWStep step;
  step.beta1 = options_.beta1;
  step.beta2 = options_.beta2;
  step.epsilon = options_.epsilon;
  step.gradient_divisor = divisor;
  step.bias_correction1 = bias_correction(options_.beta1, steps_taken());
  step.bias_correction2 = bias_correction(options_.beta2, steps_taken());
  for (const SmallParameter& one : small_) {
    step.learning_rate = learning_rate * one.rule.learning_rate_factor;
    step.weight_decay = one.rule.weight_decay;
    RandomStream stream = one.stream;
    stream.step = static_cast<uint32_t>(steps_taken());
    update_small(one.parameter, one.gradient, one.moments, step, stream);
  }
}

void AdamW::update_with_frozen_moment(Group& group, double learning_rate, double divisor) {
  kernels::FrozenAdamW options;
  options.learning_rate = learning_rate;
  options.beta1 = options_.beta1;
  options.epsilon = options_.epsilon;
  options.gradient_divisor = divisor;
  options.bias_correction1 = bias_correction(options_.beta1, steps_taken());
  options.bias_correction2 = bias_correction(options_.beta2, frozen_at());
  options.weight_decay = group.rule.weight_decay;
  for (size_t i = 0; i < group.parameters.size(); ++i) {
    kernels::frozen_adamw(
        group.parameters[i].mutable_data_ptr<float>(), group.gradients[i].const_data_ptr<float>(),
        group.exp_avg[i].mutable_data_ptr<float>(), group.exp_avg_sq[i].const_data_ptr<float>(),
        group.parameters[i].numel(), options);
  }
}

SecondMomentChange AdamW::second_moment_change(double divisor) const {
  require_large("watched");
  kernels::MomentChange total;
  int64_t entries = 0;
  for (const Group& group : groups_) {
    for (size_t i = 0; i < group.gradients.size(); ++i) {
      const auto change = kernels::second_moment_change(
          group.gradients[i].const_data_ptr<float>(), group.exp_avg_sq[i].const_data_ptr<float>(),
          group.gradients[i].numel(), static_cast<float>(divisor),
          static_cast<float>(options_.beta2));
      total.sum += change.sum;
      total.sum_of_logarithms += change.sum_of_logarithms;
      total.nonzero += change.nonzero;
      entries += group.gradients[i].numel();
    }
  }
  const double mean = total.sum / static_cast<double>(entries);
  if (total.nonzero == 0) return {mean, 0.0};
  return {mean, std::exp(total.sum_of_logarithms / static_cast<double>(total.nonzero))};
}

void AdamW::freeze_second_moment() {
  require_large("frozen");
  counters_.mutable_data_ptr<int64_t>()[1] = steps_taken();
}

void AdamW::require_large(const char* what) const {
  if (small_.empty()) return;
  fail("the second moment of \"{}\" cannot be {}, which needs parameters and moments in float32",
       printable(small_[0].name), what);
}

void AdamW::clear_gradients() {
  const at::NoGradGuard no_gradients;
  for (Group& group : groups_) {
    for (at::Tensor& gradient : group.gradients) gradient.zero_();
  }
  for (SmallParameter& one : small_) one.gradient.zero_();
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const Group& group : groups_) {
    for (size_t i = 0; i < group.names.size(); ++i) {
      tensors.emplace_back("exp_avg." + group.names[i], group.exp_avg[i]);
      tensors.emplace_back("exp_avg_sq." + group.names[i], group.exp_avg_sq[i]);
    }
  }
  for (const SmallParameter& one : small_) {
    tensors.emplace_back("exp_avg." + one.name, one.moments.exp_avg);
    tensors.emplace_back("exp_avg_sq." + one.name, one.moments.exp_avg_sq);
    if (!one.moments.exp_avg_scale.defined()) continue;
    tensors.emplace_back("exp_avg_scale." + one.name, one.moments.exp_avg_scale);
    tensors.emplace_back("exp_avg_sq_scale." + one.name, one.moments.exp_avg_sq_scale);
  }
  tensors.emplace_back("counters", counters_);
  return tensors;
}

int64_t AdamW::steps_taken() const { return counters_.const_data_ptr<int64_t>()[0]; }

int64_t AdamW::frozen_at() const { return counters_.const_data_ptr<int64_t>()[1]; }

}  // namespace twofour::train
