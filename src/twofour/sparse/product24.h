// The 2:4 products of kernels/ on tensors (float32, bfloat16, float16; CPU).
#pragma once

#include <ATen/core/Tensor.h>

#include "twofour/base/random.h"
#include "twofour/kernels/products/many_tokens/panel24.h"

namespace twofour::sparse {

/// The kind of panel for products of `dtype`.
kernels::PanelKind panel_kind(at::ScalarType dtype);

/// A panel of that kind with zeros.
kernels::Panel24 empty_panel(at::ScalarType dtype, int64_t rows, int64_t columns);

/// Fills `panel` from weight [rows, columns], which must be 2:4 along its rows. Throws Error with
/// the first group that is not.
void fill_panel(const at::Tensor& weight, kernels::Panel24& panel);

/// A weight [rows, columns] in the form of kernels/packed24/packed24.h: values [rows, columns / 2]
/// of its dtype and positions [rows, (columns + 7) / 8], uint8.
struct Packed {
  at::Tensor values, positions;
};

/// Packs `weight`, into the same tensors if they fit. Throws Error with the first group that is not
/// 2:4.
void pack24(const at::Tensor& weight, Packed& packed);

/// Throws Error, with the first group, if `weight` is not 2:4 along its rows.
void check24(const at::Tensor& weight);

/// Restores the dense weight [rows, columns].
at::Tensor unpack24(const Packed& packed);

/// Fills `panel` [columns, rows] from weight [rows, columns] transposed; see
/// kernels::fill_panel_transposed.
void fill_panel_transposed(const at::Tensor& weight, kernels::Panel24& panel);

/// Fills `panel` [features, tokens] with the MVUE of dz [tokens, features]ᵀ (see mvue.h), with the
/// same draws as mvue24.
void fill_panel_mvue(const at::Tensor& dz, const RandomStream& stream, kernels::Panel24& panel);

/// x [tokens, columns] · panelᵀ + bias (or undefined) as [tokens, rows] in x's dtype.
at::Tensor multiply_transposed(const kernels::Panel24& panel, const at::Tensor& x,
                               const at::Tensor& bias);

/// The same for few tokens and a packed weight; see kernels/products/few_tokens/few24.h.
at::Tensor multiply_few(const Packed& packed, const at::Tensor& x, const at::Tensor& bias);

/// x [tokens, columns] · weightᵀ + bias (or undefined) for few tokens and a dense weight [rows,
/// columns], as in the decode step; see kernels/products/few_tokens/few_dense.h.
at::Tensor multiply_few_dense(const at::Tensor& weight, const at::Tensor& x,
                              const at::Tensor& bias);

/// The same for an unpacked 2:4 weight [rows, columns]. Throws Error with the first group that is
/// not 2:4.
at::Tensor multiply_few(const at::Tensor& weight, const at::Tensor& x, const at::Tensor& bias);

/// gradient [rows, width] (float32) += panel · x [columns, width].
void multiply_add(const kernels::Panel24& panel, const at::Tensor& x, at::Tensor& gradient);

}  // namespace twofour::sparse
