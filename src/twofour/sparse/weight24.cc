#include "twofour/sparse/weight24.h"

#include "twofour/base/parts.h"
#include "twofour/tensor/onednn.h"

namespace twofour::sparse {
namespace {

// Memory of the right kind and size. Existing memory is used again, unless a copy reads it.
kernels::Panel24& fit(std::shared_ptr<kernels::Panel24>& panel, at::ScalarType dtype, int64_t rows,
                      int64_t columns) {
  const bool fits = panel && panel.use_count() == 1 && panel->kind() == panel_kind(dtype) &&
                    panel->rows() == rows && panel->columns() == columns;
  if (!fits) {
    panel.reset();  // before the second one is allocated
    panel = std::make_shared<kernels::Panel24>(empty_panel(dtype, rows, columns));
  }
  return *panel;
}

}  // namespace

void Weight24::check(const at::Tensor& weight) {
  if (is_checked_ || panel_is_current_ || packed_is_current_) return;
  check24(weight);
  is_checked_ = true;
}

bool Weight24::has_transposed(const at::Tensor& weight) const {
  if (weight.size(0) % 4 != 0) return false;
  return along_ == Along::kBothSides || kernels::terms_of(panel_kind(weight.scalar_type())) > 0;
}

const kernels::Panel24& Weight24::panel(const at::Tensor& weight) {
  if (!panel_is_current_) {
    auto& panel = fit(panel_, weight.scalar_type(), weight.size(0), weight.size(1));
    const PartTimer timer(Part::kPacking);
    fill_panel(weight, panel);
    panel_is_current_ = true;
  }
  return *panel_;
}

const kernels::Panel24& Weight24::transposed_panel(const at::Tensor& weight) {
  if (!transposed_is_current_) {
    auto& panel = fit(transposed_, weight.scalar_type(), weight.size(1), weight.size(0));
    const PartTimer timer(Part::kPacking);
    fill_panel_transposed(weight, panel);
    transposed_is_current_ = true;
  }
  return *transposed_;
}

const Packed& Weight24::packed(const at::Tensor& weight) {
  if (!packed_is_current_) {
    const PartTimer timer(Part::kPacking);
    if (packed_.values.defined() && packed_.values.use_count() > 1) packed_ = {};
    pack24(weight, packed_);
    packed_is_current_ = true;
  }
  return packed_;
}

const at::Tensor& Weight24::ordered(const at::Tensor& weight, int64_t tokens) {
  if (!ordered_.defined()) {
    const PartTimer timer(Part::kPacking);
    ordered_ = tensor::reorder_for_onednn(weight, tokens);
  }
  return ordered_;
}

const at::Tensor& Weight24::ordered_transposed(const at::Tensor& weight, int64_t tokens) {
  if (!ordered_transposed_.defined()) {
    const PartTimer timer(Part::kPacking);
    ordered_transposed_ = tensor::reorder_for_onednn(weight.t(), tokens);
  }
  return ordered_transposed_;
}

}  // namespace twofour::sparse
