// The 2:4 products and the packed format, on the CPU.
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>

#include "twofour/kernels/packed24/packed24.h"
#include "twofour/kernels/products/few_tokens/few24.h"
#include "twofour/sparse/linear24.h"
#include "twofour/sparse/operators.h"
#include "twofour/sparse/operators_shapes.h"
#include "twofour/sparse/product24.h"
#include "twofour/sparse/scratch_forms.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::sparse::operators {
namespace {

// x [.., in] as [tokens, in] with contiguous rows.
at::Tensor matrix_of(const at::Tensor& x) {
  const at::Tensor matrix = x.dim() == 2 ? x : x.reshape({x.numel() / x.size(-1), x.size(-1)});
  return matrix.stride(1) == 1 ? matrix : matrix.contiguous();
}

at::Tensor without_gaps(const std::optional<at::Tensor>& bias) {
  return bias && bias->defined() ? bias->detach().contiguous() : at::Tensor();
}

// Padded with rows of zeros to a multiple of 4, as in MVUE's last group.
at::Tensor with_whole_groups(const at::Tensor& matrix) {
  return at::constant_pad_nd(matrix, {0, 0, 0, 3 - (matrix.size(0) + 3) % 4});
}

// For contiguous arrays, which must outlive the view.
template <class T>
kernels::Packed24View<T> packed_view(const at::Tensor& values, const at::Tensor& positions) {
  return {values.size(0), 2 * values.size(1), static_cast<const T*>(values.const_data_ptr()),
          positions.const_data_ptr<uint8_t>()};
}

}  // namespace

at::Tensor linear24(const at::Tensor& x, const at::Tensor& weight,
                    const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& mask,
                    bool transposable, bool mvue, bool exact, int64_t seed, c10::SymInt step,
                    c10::SymInt micro_batch, int64_t tensor) {
  const at::Tensor z = shapes::linear24(x, weight, bias, mask, transposable, mvue, exact, seed,
                                        step, micro_batch, tensor);
  if (x.numel() == 0 || weight.numel() == 0) return at::linear(x, weight, bias);
  const at::Tensor used = mask ? apply_mask(weight, *mask) : matrix_of(weight.detach());
  const ScratchForms forms(used, Along::kRows);
  const at::Tensor product = forward_product(matrix_of(x), used, without_gaps(bias), forms.get());
  forms->check(used);
  return product.view(z.sizes());
}

at::Tensor input_gradient24(const at::Tensor& dz, const at::Tensor& weight) {
  shapes::input_gradient24(dz, weight);
  if (dz.numel() == 0 || weight.numel() == 0) return at::matmul(dz, weight);
  const ScratchForms forms(weight, Along::kBothSides);
  return input_gradient_product(matrix_of(dz), matrix_of(weight.detach()), forms.get());
}

at::Tensor weight_gradient24(const at::Tensor& dz, const at::Tensor& x, int64_t seed,
                             c10::SymInt step, c10::SymInt micro_batch, int64_t tensor,
                             bool exact) {
  const at::Tensor gradient =
      shapes::weight_gradient24(dz, x, seed, step, micro_batch, tensor, exact);
  at::Tensor sums = at::zeros(gradient.sizes(), at::kFloat);
  if (dz.numel() == 0 || x.numel() == 0) return sums.to(dz.scalar_type());
  if (exact) {
    const at::Tensor estimate =
        mvue24(with_whole_groups(dz), seed, step, micro_batch, tensor, /*exact=*/true);
    kernels::Panel24 panel = empty_panel(dz.scalar_type(), estimate.size(1), estimate.size(0));
    fill_panel_transposed(estimate, panel);
    multiply_add(panel, matrix_of(with_whole_groups(x)), sums);
  } else {
    add_estimated_weight_gradient(matrix_of(dz), matrix_of(x),
                                  stream_of(seed, step, micro_batch, tensor), sums);
  }
  return sums.to(dz.scalar_type());
}

std::tuple<at::Tensor, at::Tensor> pack24(const at::Tensor& weight,
                                          const std::optional<at::Tensor>& mask) {
  auto [values, positions] = shapes::pack24(weight, mask);
  const Rows in(weight);
  tensor::with_type(
      weight.scalar_type(), [&, &values = values, &positions = positions](auto* type) {
        using T = tensor::Pointee<decltype(type)>;
        const at::Tensor kept = mask ? mask->contiguous() : at::Tensor();
        kernels::pack24_into<T>(in.data<T>(), in.rows, in.columns, in.stride,
                                mask ? static_cast<const uint8_t*>(kept.const_data_ptr()) : nullptr,
                                static_cast<T*>(values.mutable_data_ptr()),
                                positions.mutable_data_ptr<uint8_t>());
      });
  return {values, positions};
}

at::Tensor unpack24(const at::Tensor& values, const at::Tensor& positions) {
  at::Tensor weight = shapes::unpack24(values, positions);
  const at::Tensor kept = values.contiguous(), places = positions.contiguous();
  tensor::with_type(values.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::unpack24<T>(packed_view<T>(kept, places), static_cast<T*>(weight.mutable_data_ptr()),
                         weight.stride(0));
  });
  return weight;
}

at::Tensor linear24_packed(const at::Tensor& x, const at::Tensor& values,
                           const at::Tensor& positions, const std::optional<at::Tensor>& bias) {
  const at::Tensor z = shapes::linear24_packed(x, values, positions, bias);
  if (x.numel() == 0 || values.numel() == 0)
    return at::linear(x, unpack24(values, positions), bias);
  const at::Tensor matrix = matrix_of(x), addend = without_gaps(bias);
  if (matrix.size(0) <= kernels::kFewTokens) {
    const Packed packed = {values.contiguous(), positions.contiguous()};
    return multiply_few(packed, matrix, addend).view(z.sizes());
  }
  kernels::Panel24 panel = empty_panel(x.scalar_type(), values.size(0), 2 * values.size(1));
  fill_panel(unpack24(values, positions), panel);
  return multiply_transposed(panel, matrix, addend).view(z.sizes());
}

at::Tensor linear24_prepared(const at::Tensor& x, const c10::intrusive_ptr<PreparedWeight>& weight,
                             const std::optional<at::Tensor>& bias) {
  const at::Tensor z = shapes::linear24_prepared(x, weight, bias);
  if (z.numel() == 0 || x.numel() == 0) return at::linear(x, weight->dense(), bias);
  return weight->multiply(matrix_of(x), without_gaps(bias)).view(z.sizes());
}

}  // namespace twofour::sparse::operators
