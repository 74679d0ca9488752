// The 2:4 products and the packed format, on the CPU.
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "twofour/kernels/few24.h"
#include "twofour/kernels/mvue.h"
#include "twofour/kernels/packed24.h"
#include "twofour/kernels/product24.h"
#include "twofour/sparse/kernel_types.h"
#include "twofour/sparse/operators.h"
#include "twofour/sparse/operators_shapes.h"

namespace twofour::sparse::operators {
namespace {

using kernels::Panel24;

// Up to here the weight is read as Packed24; beyond, a panel pays.
constexpr int64_t kFewTokens = 64;

// Of a bias without gaps, which must outlive it.
template <class T>
kernels::Epilogue<T> epilogue_of(const at::Tensor& bias) {
  kernels::Epilogue<T> epilogue;
  if (bias.defined()) epilogue.bias = static_cast<const T*>(bias.const_data_ptr());
  return epilogue;
}

at::Tensor without_gaps(const std::optional<at::Tensor>& bias) {
  return bias && bias->defined() ? bias->contiguous() : at::Tensor();
}

// y = x panelᵀ + bias into y [.., rows], contiguous.
template <class T>
void multiply(const Panel24& panel, const at::Tensor& x, const std::optional<at::Tensor>& bias,
              at::Tensor& y) {
  const Rows in(x);
  const at::Tensor addend = without_gaps(bias);
  kernels::multiply_transposed<T>(panel, in.data<T>(), in.rows, in.stride,
                                  static_cast<T*>(y.mutable_data_ptr()), panel.rows(),
                                  epilogue_of<T>(addend));
}

// The same from the packed weight as it lies.
template <class T>
void multiply_few(const kernels::Packed24View<T>& weight, const at::Tensor& x,
                  const std::optional<at::Tensor>& bias, at::Tensor& y) {
  const Rows in(x);
  const at::Tensor addend = without_gaps(bias);
  kernels::multiply_few<T>(weight, in.data<T>(), in.rows, in.stride,
                           static_cast<T*>(y.mutable_data_ptr()), weight.rows,
                           epilogue_of<T>(addend));
}

template <class T>
kernels::Packed24<T> packed_of(const at::Tensor& weight) {
  const Rows in(weight);
  return kernels::pack24<T>(in.data<T>(), in.rows, in.columns, in.stride);
}

template <class T>
Panel24 panel_of(const at::Tensor& weight) {
  const Rows in(weight);
  Panel24 panel(kernels::panel_kind<T>(), in.rows, in.columns);
  kernels::fill_panel<T>(in.data<T>(), in.stride, panel);
  return panel;
}

// The panel of weightᵀ.
template <class T>
Panel24 transposed_panel_of(const at::Tensor& weight) {
  const Rows in(weight);
  Panel24 panel(kernels::panel_kind<T>(), in.columns, in.rows);
  kernels::fill_panel_transposed<T>(in.data<T>(), in.stride, panel);
  return panel;
}

// The panel of the estimate of dz, transposed.
template <class T>
Panel24 estimate_panel(const at::Tensor& dz, const RandomStream& stream, kernels::Mvue kind) {
  const Rows in(dz);
  if constexpr (!std::is_same_v<T, kernels::float16>) {
    if (kind == kernels::Mvue::kApproximate) {
      Panel24 panel(kernels::panel_kind<T>(), in.columns, in.rows);
      kernels::fill_panel_mvue<T>(in.data<T>(), in.stride, stream, panel);
      return panel;
    }
  }
  const at::Tensor estimate = at::empty(dz.sizes(), dz.options());
  kernels::mvue24<T>(in.data<T>(), in.rows, in.columns, in.stride, stream,
                     static_cast<T*>(estimate.mutable_data_ptr()), kind);
  return transposed_panel_of<T>(estimate);
}

// With rows of zeros up to a multiple of 4: what MVUE's last group counts as.
at::Tensor with_whole_groups(const at::Tensor& matrix) {
  return at::constant_pad_nd(matrix, {0, 0, 0, 3 - (matrix.size(0) + 3) % 4});
}

// Of contiguous arrays, which must outlive the view.
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
  at::Tensor z = shapes::linear24(x, weight, bias, mask, transposable, mvue, exact, seed, step,
                                  micro_batch, tensor);
  const at::Tensor used = mask ? apply_mask(weight, *mask) : weight;
  with_type(x.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    if (Rows(x).rows > kFewTokens) {
      multiply<T>(panel_of<T>(used), x, bias, z);
    } else {
      multiply_few<T>(packed_of<T>(used), x, bias, z);
    }
  });
  return z;
}

at::Tensor input_gradient24(const at::Tensor& dz, const at::Tensor& weight) {
  at::Tensor dx = shapes::input_gradient24(dz, weight);
  with_type(dz.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    multiply<T>(transposed_panel_of<T>(weight), dz, std::nullopt, dx);
  });
  return dx;
}

at::Tensor weight_gradient24(const at::Tensor& dz, const at::Tensor& x, int64_t seed,
                             c10::SymInt step, c10::SymInt micro_batch, int64_t tensor,
                             bool exact) {
  const at::Tensor gradient =
      shapes::weight_gradient24(dz, x, seed, step, micro_batch, tensor, exact);
  if (dz.size(0) % 4 != 0) {
    return weight_gradient24(with_whole_groups(dz), with_whole_groups(x), seed, step, micro_batch,
                             tensor, exact);
  }
  const RandomStream stream = stream_of(seed, step, micro_batch, tensor);
  const auto kind = exact ? kernels::Mvue::kExact : kernels::Mvue::kApproximate;
  const at::Tensor sums = at::zeros(gradient.sizes(), at::kFloat);
  with_type(dz.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    const Rows in(x);
    kernels::multiply_add<T>(estimate_panel<T>(dz, stream, kind), in.data<T>(), in.columns,
                             in.stride, sums.mutable_data_ptr<float>(), in.columns);
  });
  return sums.to(dz.scalar_type());
}

std::tuple<at::Tensor, at::Tensor> pack24(const at::Tensor& weight,
                                          const std::optional<at::Tensor>& mask) {
  auto [values, positions] = shapes::pack24(weight, mask);
  const Rows in(weight);
  with_type(weight.scalar_type(), [&, &values = values, &positions = positions](auto* type) {
    using T = Pointee<decltype(type)>;
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
  with_type(values.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    kernels::unpack24<T>(packed_view<T>(kept, places), static_cast<T*>(weight.mutable_data_ptr()),
                         weight.stride(0));
  });
  return weight;
}

at::Tensor linear24_packed(const at::Tensor& x, const at::Tensor& values,
                           const at::Tensor& positions, const std::optional<at::Tensor>& bias) {
  at::Tensor z = shapes::linear24_packed(x, values, positions, bias);
  with_type(x.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    if (Rows(x).rows > kFewTokens) {
      multiply<T>(panel_of<T>(unpack24(values, positions)), x, bias, z);
    } else {
      const at::Tensor kept = values.contiguous(), places = positions.contiguous();
      multiply_few<T>(packed_view<T>(kept, places), x, bias, z);
    }
  });
  return z;
}

}  // namespace twofour::sparse::operators
