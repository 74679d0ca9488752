#include "twofour/sparse/product24.h"

#include <ATen/ops/empty.h>

#include "twofour/base/error.h"
#include "twofour/base/parts.h"
#include "twofour/kernels/packed24/packed24.h"
#include "twofour/kernels/products/few_tokens/few24.h"
#include "twofour/kernels/products/few_tokens/few_dense.h"
#include "twofour/kernels/products/many_tokens/product24.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::sparse {
namespace {

template <class T>
const T* rows_of(const at::Tensor& matrix) {
  if (matrix.dim() != 2 || matrix.stride(1) != 1) fail("a matrix with contiguous rows is needed");
  return static_cast<const T*>(matrix.const_data_ptr());
}

void check_operand(const char* what, int64_t is, int64_t expected) {
  if (is != expected) fail("{} is {}, but the 2:4 matrix needs {}", what, is, expected);
}

// For the product y [tokens, rows]; null if there is none.
template <class T>
const T* bias_of(const at::Tensor& bias, const at::Tensor& y) {
  if (!bias.defined()) return nullptr;
  check_operand("the bias", bias.numel(), y.size(1));
  if (bias.scalar_type() != y.scalar_type()) fail("the bias has another dtype than x");
  return static_cast<const T*>(bias.const_data_ptr());
}

}  // namespace

kernels::PanelKind panel_kind(at::ScalarType dtype) {
  return tensor::with_type(
      dtype, [](auto* type) { return kernels::panel_kind<tensor::Pointee<decltype(type)>>(); });
}

kernels::Panel24 empty_panel(at::ScalarType dtype, int64_t rows, int64_t columns) {
  return kernels::Panel24(panel_kind(dtype), rows, columns);
}

void fill_panel(const at::Tensor& weight, kernels::Panel24& panel) {
  check_operand("the number of rows", weight.size(0), panel.rows());
  check_operand("the number of columns", weight.size(1), panel.columns());
  tensor::with_type(weight.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::fill_panel(rows_of<T>(weight), weight.stride(0), panel);
  });
}

void fill_panel_transposed(const at::Tensor& weight, kernels::Panel24& panel) {
  check_operand("the number of columns", weight.size(1), panel.rows());
  check_operand("the number of rows", weight.size(0), panel.columns());
  tensor::with_type(weight.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::fill_panel_transposed(rows_of<T>(weight), weight.stride(0), panel);
  });
}

void fill_panel_mvue(const at::Tensor& dz, const RandomStream& stream, kernels::Panel24& panel) {
  check_operand("the number of features", dz.size(1), panel.rows());
  check_operand("the number of tokens", dz.size(0), panel.columns());
  const PartTimer timer(Part::kMvue);
  tensor::with_type(dz.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::fill_panel_mvue(rows_of<T>(dz), dz.stride(0), stream, panel);
  });
}

void pack24(const at::Tensor& weight, Packed& packed) {
  const int64_t rows = weight.size(0), columns = weight.size(1);
  if (!packed.values.defined() || packed.values.scalar_type() != weight.scalar_type() ||
      packed.values.size(0) != rows || packed.values.size(1) != columns / 2) {
    packed.values = at::empty({rows, columns / 2}, weight.options());
    packed.positions = at::empty({rows, (columns + 7) / 8}, weight.options().dtype(at::kByte));
  }
  tensor::with_type(weight.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::pack24_into(rows_of<T>(weight), rows, columns, weight.stride(0), nullptr,
                         static_cast<T*>(packed.values.mutable_data_ptr()),
                         packed.positions.mutable_data_ptr<uint8_t>());
  });
}

void check24(const at::Tensor& weight) {
  tensor::with_type(weight.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::check24(rows_of<T>(weight), weight.size(0), weight.size(1), weight.stride(0));
  });
}

at::Tensor unpack24(const Packed& packed) {
  const int64_t rows = packed.values.size(0), columns = 2 * packed.values.size(1);
  at::Tensor weight = at::empty({rows, columns}, packed.values.options());
  tensor::with_type(weight.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::unpack24<T>(
        {rows, columns, rows_of<T>(packed.values), packed.positions.const_data_ptr<uint8_t>()},
        static_cast<T*>(weight.mutable_data_ptr()), columns);
  });
  return weight;
}

at::Tensor multiply_transposed(const kernels::Panel24& panel, const at::Tensor& x,
                               const at::Tensor& bias) {
  check_operand("x's width", x.size(1), panel.columns());
  at::Tensor y = at::empty({x.size(0), panel.rows()}, x.options());
  tensor::with_type(x.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::multiply_transposed(panel, rows_of<T>(x), x.size(0), x.stride(0),
                                 static_cast<T*>(y.mutable_data_ptr()), y.stride(0),
                                 bias_of<T>(bias, y));
  });
  return y;
}

at::Tensor multiply_few(const Packed& packed, const at::Tensor& x, const at::Tensor& bias) {
  const int64_t rows = packed.values.size(0), columns = 2 * packed.values.size(1);
  check_operand("x's width", x.size(1), columns);
  at::Tensor y = at::empty({x.size(0), rows}, x.options());
  tensor::with_type(x.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    const kernels::Packed24View<T> view = {rows, columns, rows_of<T>(packed.values),
                                           packed.positions.const_data_ptr<uint8_t>()};
    kernels::multiply_few<T>(view, rows_of<T>(x), x.size(0), x.stride(0),
                             static_cast<T*>(y.mutable_data_ptr()), y.stride(0),
                             bias_of<T>(bias, y));
  });
  return y;
}

at::Tensor multiply_few_dense(const at::Tensor& weight, const at::Tensor& x,
                              const at::Tensor& bias) {
  check_operand("x's width", x.size(1), weight.size(1));
  at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
  tensor::with_type(x.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    const kernels::DenseView<T> view = {weight.size(0), weight.size(1), weight.stride(0),
                                        rows_of<T>(weight)};
    const kernels::FewProduct<T> product = {view, bias_of<T>(bias, y),
                                            static_cast<T*>(y.mutable_data_ptr()), y.stride(0)};
    kernels::multiply_few<T>({&product, 1}, rows_of<T>(x), x.size(0), x.stride(0));
  });
  return y;
}

at::Tensor multiply_few(const at::Tensor& weight, const at::Tensor& x, const at::Tensor& bias) {
  check_operand("x's width", x.size(1), weight.size(1));
  at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
  tensor::with_type(x.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::multiply_few_packing(rows_of<T>(weight), weight.size(0), weight.size(1),
                                  weight.stride(0), rows_of<T>(x), x.size(0), x.stride(0),
                                  static_cast<T*>(y.mutable_data_ptr()), y.stride(0),
                                  bias_of<T>(bias, y));
  });
  return y;
}

void multiply_add(const kernels::Panel24& panel, const at::Tensor& x, at::Tensor& gradient) {
  check_operand("x's number of rows", x.size(0), panel.columns());
  check_operand("the gradient's number of rows", gradient.size(0), panel.rows());
  check_operand("the gradient's width", gradient.size(1), x.size(1));
  tensor::with_type(x.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::multiply_add(panel, rows_of<T>(x), x.size(1), x.stride(0),
                          gradient.mutable_data_ptr<float>(), gradient.stride(0));
  });
}

}  // namespace twofour::sparse
