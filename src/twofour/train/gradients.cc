#include "twofour/train/gradients.h"

#include <ATen/ops/zeros.h>

namespace twofour::train {
namespace {

constexpr int64_t kCacheLine = 64 / sizeof(float);

int64_t padded(int64_t entries) { return (entries + kCacheLine - 1) / kCacheLine * kCacheLine; }

}  // namespace

FlatGradients::FlatGradients(const std::vector<std::pair<std::string, at::Tensor>>& parameters) {
  int64_t entries = 0;
  for (const auto& [name, parameter] : parameters) entries += padded(parameter.numel());
  values_ = at::zeros({entries}, at::TensorOptions().dtype(at::kFloat));
  int64_t first = 0;
  for (const auto& [name, parameter] : parameters) {
    parameter.mutable_grad() = values_.narrow(0, first, parameter.numel()).view(parameter.sizes());
    first += padded(parameter.numel());
  }
}

}  // namespace twofour::train
