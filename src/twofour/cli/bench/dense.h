// The dense side of a comparison: all available dense libraries, so that 2:4 is compared with the
// fastest.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <ATen/core/Tensor.h>

namespace twofour::cli {

/// Whether `result` equals ATen's up to rounding in another order of summation.
bool agrees(const at::Tensor& result, const at::Tensor& expected);

struct DenseProduct {
  std::string name;
  std::function<at::Tensor()> run;
};

/// The available implementations, "aten" first, and the reasons why others cannot run: {"openblas":
/// "not installed"}. Every result is compared with ATen's once; libraries that differ are left out.
struct DenseProducts {
  std::vector<DenseProduct> all;
  nlohmann::ordered_json left_out = nlohmann::ordered_json::object();
};

/// y [tokens, out] = x wᵀ + b of x [tokens, in] and w [out, in] (any strides), which is
/// constant, so packing is not timed. The bias [out] may be undefined.
///   aten            mm or addmm: MKL in float32, oneDNN in the 16-bit types
///   onednn packed   oneDNN with the weight in its preferred order
///   mkl packed      the same of MKL, float32
///   mkl             MKL's 16-bit products with float32 results, rounded afterwards
///   float32         both operands converted to float32 in each call
///   openblas        if installed
DenseProducts dense_products(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// gradient [out, in] (float32) += dzᵀ x of dz [tokens, out] and x [tokens, in]: the same
/// libraries, without packing. The checks leave values in `gradient`.
DenseProducts dense_gradient_products(const at::Tensor& dz, const at::Tensor& x,
                                      at::Tensor& gradient);

}  // namespace twofour::cli
