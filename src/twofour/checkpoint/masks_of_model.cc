#include "twofour/checkpoint/masks_of_model.h"

#include <map>
#include <set>

#include "twofour/base/error.h"
#include "twofour/model/model.h"
#include "twofour/sparse/masks.h"

namespace twofour::checkpoint {
namespace {

constexpr double kPrunedShare = 0.1;

at::Tensor without_removed(const at::Tensor& values, const at::Tensor& mask, bool is_transposed) {
  // The mask lies over [out, in].
  const at::Tensor weight = is_transposed ? values.t() : values;
  const at::Tensor kept = sparse::unpacked_mask(mask, weight.sizes());
  const at::Tensor masked = as_bits(weight).masked_fill(kept.eq(0), 0).view(values.scalar_type());
  return (is_transposed ? masked.t() : masked).contiguous();
}

// The parameter of a stored tensor, whose name may lack the architecture's prefix.
std::string parameter_of(const ModelSource& source, const std::string& stored) {
  if (source.shapes.contains(stored)) return stored;
  return std::string(model::architecture_of(source.model).prefix) + stored;
}

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
  if (fs::exists(file)) return read_masks(file, shapes);
  NamedTensors masks;
  for (const auto& [name, shape] : shapes) {
    const at::Tensor mask = folder.weights().mask(folder.stored_name(name));
    if (!mask.defined()) continue;
    masks.emplace_back(name, mask);
    folder.release(name);
  }
  return masks;
}

std::vector<std::string> linear_names(const model::ModelConfig& config) {
  std::vector<std::string> names;
  model::make_shapes(config).visit_linears(
      [&](const std::string& name, auto&) { names.push_back(name); });
  return names;
}

void apply_masks(ModelSource& source, const NamedTensors& masks) {
  std::map<std::string, at::Tensor> waiting(masks.begin(), masks.end());
  for (TensorToWrite& tensor : source.tensors) {
    const std::string name = parameter_of(source, tensor.name);
    const auto found = waiting.find(name);
    if (found == waiting.end()) continue;
    const at::Tensor mask = found->second;
    const int64_t entries = c10::multiply_integers(tensor.shape);
    if (mask.numel() != (entries + 7) / 8) {
      fail("the mask of \"{}\" has {} bytes, but the weight's {} entries need {}", name,
           mask.numel(), entries, (entries + 7) / 8);
    }
    tensor.make = [make = tensor.make, mask,
                   is_transposed = stores_transposed(source.model, name)] {
      return without_removed(make(), mask, is_transposed);
    };
    waiting.erase(found);
  }
  if (!waiting.empty()) fail("the model has no tensor \"{}\"", waiting.begin()->first);
  std::map<std::string, at::Tensor> all(source.masks.begin(), source.masks.end());
  for (const auto& [name, mask] : masks) all[name] = mask;
  source.masks.assign(all.begin(), all.end());
}

}  // namespace twofour::checkpoint
