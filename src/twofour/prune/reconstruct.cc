#include "twofour/prune/reconstruct.h"

#include <cmath>
#include <vector>

#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/csrc/autograd/variable.h>

namespace twofour::prune {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.95, kEpsilon = 1e-8;

struct Trained {
  MaskedWeight* layer;
  at::Tensor parameter, mask, first, second;
  double rate;
};

std::vector<std::pair<std::string, Trained>> trained_layers(
    std::map<std::string, MaskedWeight>& layers, double rate) {
  std::vector<std::pair<std::string, Trained>> all;
  for (auto& [name, layer] : layers) {
    Trained trained{&layer, layer.weight.clone(), layer.mask.to(at::kFloat), {}, {}, 0};
    trained.first = at::zeros_like(trained.parameter);
    trained.second = at::zeros_like(trained.parameter);
    const double kept = std::max(1.0, trained.mask.sum().item<double>());
    const double squares = layer.weight.mul(trained.mask).square().sum().item<double>();
    trained.rate = rate * std::sqrt(squares / kept);
    trained.parameter.set_requires_grad(true);
    all.emplace_back(name, std::move(trained));
  }
  return all;
}

void adam_step(Trained& trained, int64_t step, double factor) {
  const at::NoGradGuard no_gradients;
  const at::Tensor gradient = trained.parameter.grad();
  if (!gradient.defined()) return;
  trained.first.mul_(kBeta1).add_(gradient, 1 - kBeta1);
  trained.second.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
  const double correction1 = 1 - std::pow(kBeta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(kBeta2, static_cast<double>(step));
  const at::Tensor divisor = trained.second.div(correction2).sqrt_().add_(kEpsilon);
  trained.parameter.addcdiv_(trained.first, divisor, -trained.rate * factor / correction1);
  trained.parameter.mul_(trained.mask);
  trained.parameter.mutable_grad().reset();
}

at::Tensor squared_error(const at::Tensor& output, const at::Tensor& target) {
  return output.to(at::kFloat).sub(target.to(at::kFloat)).square().sum();
}

// ‖block(x) - target‖² / ‖target‖² with the present parameters.
double whole_error(const model::Model& model, int64_t block, const Activations& inputs,
                   const Activations& targets, const std::vector<model::Pass>& passes,
                   const model::Observer& observer) {
  const at::NoGradGuard no_gradients;
  double lost = 0, all = 0;
  for (size_t b = 0; b < inputs.batches(); ++b) {
    const at::Tensor output = model::run_block(model, block, inputs.batch(b), passes[b], observer);
    lost += squared_error(output, targets.batch(b)).item<double>();
    all += targets.batch(b).to(at::kFloat).square().sum().item<double>();
  }
  return all > 0 ? lost / all : 0.0;
}

}  // namespace

Reconstruction reconstruct_block(const model::Model& model, int64_t block,
                                 const Activations& inputs, const Activations& targets,
                                 const std::vector<model::Pass>& forward_passes, int64_t passes,
                                 double rate, std::map<std::string, MaskedWeight>& layers,
                                 const std::function<void()>& progress) {
  auto all = trained_layers(layers, rate);
  const model::Observer observer = [&](const std::string& name, const model::Linear& layer,
                                       const at::Tensor&) {
    for (const auto& [own, trained] : all) {
      if (own == name) return trained.parameter.to(layer.weight.scalar_type());
    }
    return at::Tensor();
  };
  Reconstruction result;
  result.before = whole_error(model, block, inputs, targets, forward_passes, observer);
  const auto steps = passes * static_cast<int64_t>(inputs.batches());
  int64_t step = 0;
  for (int64_t pass = 0; pass < passes; ++pass) {
    for (size_t b = 0; b < inputs.batches(); ++b) {
      const at::AutoGradMode with_gradients(true);
      const at::Tensor output =
          model::run_block(model, block, inputs.batch(b), forward_passes[b], observer);
      const auto size = static_cast<double>(output.numel());
      squared_error(output, targets.batch(b)).div(size).backward();
      const double factor = 1 - static_cast<double>(step) / static_cast<double>(steps);
      ++step;
      for (auto& [name, trained] : all) adam_step(trained, step, factor);
      progress();
    }
  }
  result.after = whole_error(model, block, inputs, targets, forward_passes, observer);
  if (!(result.after < result.before)) {
    result.after = result.before;
    return result;
  }
  for (auto& [name, trained] : all) {
    trained.layer->weight = trained.parameter.detach().set_requires_grad(false);
  }
  return result;
}

}  // namespace twofour::prune
