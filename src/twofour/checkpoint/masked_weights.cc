#include "twofour/checkpoint/masked_weights.h"

#include "twofour/base/error.h"
#include "twofour/checkpoint/masks_of_model.h"
#include "twofour/sparse/masks.h"

namespace twofour::checkpoint {

MaskedWeights::MaskedWeights(std::shared_ptr<const ModelWeights> weights,
                             std::map<std::string, Mask> masks)
    : ModelWeights(weights->folder()), source_(std::move(weights)), masks_(std::move(masks)) {
  for (const std::string& name : source_->names()) weights_[name] = source_->entry(name);
  for (const auto& [name, mask] : masks_) {
    const int64_t entries = c10::multiply_integers(entry(name).shape);
    if (mask.bits.numel() == (entries + 7) / 8) continue;
    fail("the mask of \"{}\" has {} bytes, but the weight's {} entries need {}", printable(name),
         mask.bits.numel(), entries, (entries + 7) / 8);
  }
}

at::Tensor MaskedWeights::view(const std::string& name) const {
  const at::Tensor values = source_->view(name);
  const auto found = masks_.find(name);
  if (found == masks_.end()) return values;
  const auto& [bits, is_transposed] = found->second;
  const at::Tensor weight = is_transposed ? values.t() : values;
  const at::Tensor removed = sparse::unpacked_mask(bits, weight.sizes()).eq(0);
  const at::Tensor masked = as_bits(weight).masked_fill(removed, 0).view(values.scalar_type());
  return (is_transposed ? masked.t() : masked).contiguous();
}

at::Tensor MaskedWeights::mask(const std::string& name) const {
  const auto found = masks_.find(name);
  return found == masks_.end() ? source_->mask(name) : found->second.bits;
}

}  // namespace twofour::checkpoint
