// The 2:4 products on CUDA tensors, by ATen's semi-structured operators. Compiled only with
// TWOFOUR_CUDA, and not yet run.
#include <ATen/ops/_cslt_compress.h>
#include <ATen/ops/_cslt_sparse_mm.h>
#include <ATen/ops/_sparse_semi_structured_linear.h>
#include <ATen/ops/_to_sparse_semi_structured.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/accumulate.h>
#include <torch/library.h>

#include "twofour/sparse/operators_cuda.h"
#include "twofour/sparse/operators_shapes.h"

namespace twofour::sparse::operators::on_cuda {
namespace {

// The requirements of the tensor cores' 2:4 products on a 16-bit weight [rows, columns] and on the
// number of tokens.
constexpr int64_t kRowMultiple = 32, kColumnMultiple = 64, kTokenMultiple = 8;

// Whether libtorch was built with cuSPARSELt, which ATen only shows by an error.
bool has_cusparselt(const at::Tensor& like) {
  static const bool has = [&] {
    try {
      at::_cslt_compress(at::zeros({kRowMultiple, kColumnMultiple}, like.options()));
      return true;
    } catch (const c10::Error&) {
      return false;
    }
  }();
  return has;
}

bool suits_tensor_cores(const at::Tensor& weight) {
  return weight.scalar_type() != at::kFloat && weight.size(0) % kRowMultiple == 0 &&
         weight.size(1) % kColumnMultiple == 0;
}

// x [tokens, in] Wᵀ + bias of a 2:4 weight [out, in]. For dtypes or shapes that the tensor cores'
// sparse products do not support, the product is dense.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight,
                   const std::optional<at::Tensor>& bias) {
  const int64_t tokens = x.size(0);
  if (!suits_tensor_cores(weight) || x.numel() == 0 || weight.numel() == 0) {
    return at::linear(x, weight, bias);
  }
  const int64_t missing = kTokenMultiple - 1 - (tokens + kTokenMultiple - 1) % kTokenMultiple;
  const at::Tensor filled =
      missing == 0 ? x.contiguous() : at::constant_pad_nd(x, {0, 0, 0, missing});
  at::Tensor z;
  if (has_cusparselt(weight)) {
    z = at::_cslt_sparse_mm(at::_cslt_compress(weight.contiguous()), filled.t(), bias,
                            /*alpha=*/std::nullopt, /*out_dtype=*/std::nullopt,
                            /*transpose_result=*/true);
  } else {
    const auto [values, positions] = at::_to_sparse_semi_structured(weight.contiguous());
    z = at::_sparse_semi_structured_linear(filled, values, positions, bias);
  }
  return z.narrow(0, 0, tokens).contiguous();
}

at::Tensor product_of_any_shape(const at::Tensor& x, const at::Tensor& weight,
                                const std::optional<at::Tensor>& bias) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  const int64_t tokens = c10::multiply_integers(x.sizes().begin(), x.sizes().end() - 1);
  return product(x.reshape({tokens, weight.size(1)}), weight, bias).reshape(sizes);
}

at::Tensor linear24(const at::Tensor& x, const at::Tensor& weight,
                    const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& mask,
                    bool transposable, bool mvue, bool exact, int64_t seed, c10::SymInt step,
                    c10::SymInt micro_batch, int64_t tensor) {
  const c10::DeviceGuard guard(x.device());
  shapes::linear24(x, weight, bias, mask, transposable, mvue, exact, seed, step, micro_batch,
                   tensor);
  const at::Tensor used = mask ? at::where(mask->to(at::kBool), weight, 0) : weight;
  return product_of_any_shape(x, used, bias);
}

at::Tensor input_gradient24(const at::Tensor& dz, const at::Tensor& weight) {
  const c10::DeviceGuard guard(dz.device());
  shapes::input_gradient24(dz, weight);
  return product(dz, weight.t(), std::nullopt);
}

at::Tensor weight_gradient24(const at::Tensor& dz, const at::Tensor& x, int64_t seed,
                             c10::SymInt step, c10::SymInt micro_batch, int64_t tensor,
                             bool exact) {
  const c10::DeviceGuard guard(dz.device());
  shapes::weight_gradient24(dz, x, seed, step, micro_batch, tensor, exact);
  const at::Tensor estimate = mvue24(dz, seed, step, micro_batch, tensor, exact);
  return product(x.t(), estimate.t(), std::nullopt).t().contiguous();
}

at::Tensor linear24_packed(const at::Tensor& x, const at::Tensor& values,
                           const at::Tensor& positions, const std::optional<at::Tensor>& bias) {
  const c10::DeviceGuard guard(x.device());
  shapes::linear24_packed(x, values, positions, bias);
  return product_of_any_shape(x, unpack24(values, positions), bias);
}

}  // namespace

TORCH_LIBRARY_IMPL(twofour, CUDA, library) {
  library.impl("linear24", &linear24);
  library.impl("input_gradient24", &input_gradient24);
  library.impl("weight_gradient24", &weight_gradient24);
  library.impl("linear24_packed", &linear24_packed);
}

}  // namespace twofour::sparse::operators::on_cuda
