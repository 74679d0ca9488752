// A 2:4 weight in the forms that products read.
#pragma once

#include <memory>

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include "twofour/kernels/products/many_tokens/panel24.h"
#include "twofour/sparse/product24.h"

namespace twofour::sparse {

/// The direction of the groups of four with two zeros.
enum class Along {
  kRows,      ///< every row [in], so z = x W̃ᵀ is a 2:4 product
  kBothSides  ///< also every column, by a transposable mask, so dx = dz W̃ is one too
};

/// The panels of W̃ [out, in] and its packed form, made when a product first needs them and again
/// after changed(). A copy shares existing forms and is not affected by later changes. Not
/// thread-safe.
class Weight24 : public torch::CustomClassHolder {
 public:
  /// `in_training`: W̃ changes every step, so the choice of a kernel includes the time to prepare
  /// W̃. `for_one_product`: it also includes the check() after the product.
  explicit Weight24(Along along, bool in_training = false, bool for_one_product = false)
      : along_(along), in_training_(in_training), for_one_product_(for_one_product) {}

  bool in_training() const { return in_training_; }
  bool is_for_one_product() const { return for_one_product_; }

  /// W̃ has new values.
  void changed() {
    panel_is_current_ = transposed_is_current_ = packed_is_current_ = is_checked_ = false;
    ordered_ = ordered_transposed_ = at::Tensor();
  }

  /// Throws Error, with the place, if W̃ is not 2:4; for dense products, which would not notice.
  /// Reads W̃ once; costs nothing after a 2:4 product.
  void check(const at::Tensor& weight);
  /// A product has verified that W̃ is 2:4.
  void set_checked() { is_checked_ = true; }

  /// Whether dx = dz W̃ can be a 2:4 product on this CPU.
  bool has_transposed(const at::Tensor& weight) const;

  /// The panel of W̃ [out, in], and of W̃ᵀ [in, out]. Throw Error, with the place, if W̃ is not
  /// 2:4.
  const kernels::Panel24& panel(const at::Tensor& weight);
  const kernels::Panel24& transposed_panel(const at::Tensor& weight);

  /// The values and positions, for few tokens.
  const Packed& packed(const at::Tensor& weight);

  /// W̃ and W̃ᵀ in oneDNN's order, for dense products that are faster than 2:4 ones.
  const at::Tensor& ordered(const at::Tensor& weight, int64_t tokens);
  const at::Tensor& ordered_transposed(const at::Tensor& weight, int64_t tokens);

  /// The number of existing forms.
  int count() const {
    return panel_is_current_ + transposed_is_current_ + packed_is_current_ + ordered_.defined() +
           ordered_transposed_.defined();
  }

 private:
  Along along_;
  bool in_training_, for_one_product_;
  std::shared_ptr<kernels::Panel24> panel_, transposed_;
  Packed packed_;
  at::Tensor ordered_, ordered_transposed_;
  bool panel_is_current_ = false, transposed_is_current_ = false, packed_is_current_ = false;
  bool is_checked_ = false;
};

}  // namespace twofour::sparse
