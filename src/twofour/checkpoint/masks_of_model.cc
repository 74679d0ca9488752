#include "twofour/checkpoint/masks_of_model.h"

#include <map>
#include <set>

#include "twofour/base/error.h"
#include "twofour/model/model.h"
#include "twofour/sparse/masks.h"

namespace twofour::checkpoint {
namespace {

constexpr double kPrunedShare = 0.1;

}  // namespace

at::Tensor as_bits(const at::Tensor& values) {
  switch (values.element_size()) {
    case 1:
      return values.view(at::kByte);
    case 2:
      return values.view(at::kShort);
    case 4:
      return values.view(at::kInt);
    default:
      return values.view(at::kLong);
  }
}

at::Tensor is_nonzero(const at::Tensor& values) {
  // ATen cannot compare 8-bit floats.
  return (values.element_size() == 1 ? values.to(at::kFloat) : values).ne(0);
}

at::Tensor mask_of_nonzero(const at::Tensor& weight) {
  return sparse::packed_mask(is_nonzero(weight));
}

NamedTensors masks_of_zeros(const ModelFolder& folder) {
  const std::vector<std::string> linears = linear_names(folder.config().model);
  const std::set<std::string> is_linear(linears.begin(), linears.end());
  NamedTensors masks;
  folder.for_each([&](const std::string& name, const at::Tensor& weight) {
    if (!is_linear.contains(name)) return;
    const auto all = static_cast<double>(weight.numel());
    const auto kept = static_cast<double>(is_nonzero(weight).sum().item<int64_t>());
    if (all - kept >= kPrunedShare * all) masks.emplace_back(name, mask_of_nonzero(weight));
  });
  return masks;
}

NamedTensors stored_masks(const ModelFolder& folder) {
  const WeightShapes shapes = parameter_shapes(folder.config().model);
  const fs::path file = folder.path() / "masks.safetensors";
  std::map<std::string, at::Tensor> masks = folder.masks_put();
  if (fs::exists(file)) {
    for (auto& [name, mask] : read_masks(file, shapes)) masks.emplace(name, mask);
    return {masks.begin(), masks.end()};
  }
  for (const auto& [name, shape] : shapes) {
    const at::Tensor mask = folder.weights().mask(folder.stored_name(name));
    if (!mask.defined()) continue;
    masks.emplace(name, mask);
    folder.release(name);
  }
  return {masks.begin(), masks.end()};
}

std::vector<std::string> linear_names(const model::ModelConfig& config) {
  std::vector<std::string> names;
  model::make_shapes(config).visit_linears(
      [&](const std::string& name, auto&) { names.push_back(name); });
  return names;
}

}  // namespace twofour::checkpoint
