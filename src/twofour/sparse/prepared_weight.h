// A 2:4 weight that its owner prepares once and multiplies with many times: in Python
// torch.classes.twofour.Weight24.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include "twofour/sparse/weight24.h"

namespace twofour::sparse {

/// A copy of weight [out, in], float32, bfloat16 or float16 on the CPU, and the forms of it that
/// products read, each made when one first needs it. What becomes of the tensor that it was made
/// from does not matter: only update() changes it. Several threads may use one at once, and a child
/// that is forked meanwhile; no lock is held while anything is computed.
class PreparedWeight : public torch::CustomClassHolder {
 public:
  /// Throws Error where weight is not 2:4 along its rows, naming the place.
  explicit PreparedWeight(const at::Tensor& weight);

  /// Takes another weight's values; its shape and dtype may be others too. After an error
  /// everything is as before. A product that runs meanwhile is of the one or of the other.
  void update(const at::Tensor& weight);

  /// The weight [out, in]. Not to be written to: it is what products read.
  at::Tensor dense() const;

  /// x [tokens, in], of its dtype, times the weight transposed, plus bias [out] or an undefined
  /// one, on 2:4 kernels or dense ones as in linear24.h.
  at::Tensor multiply(const at::Tensor& x, const at::Tensor& bias) const;

  /// The number of forms that are kept.
  int count() const;

 private:
  struct Values {
    at::Tensor dense;  // contiguous, never written to
    c10::intrusive_ptr<const Weight24> forms;
  };
  static Values copy_of(const at::Tensor& weight);
  Values values() const;
  void keep(const Values& of, c10::intrusive_ptr<const Weight24> forms) const;

  mutable Values values_;  // read and written in turn; what it points to does not change
};

}  // namespace twofour::sparse
