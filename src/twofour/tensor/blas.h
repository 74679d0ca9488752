// Dense products of BLAS libraries that are asked for at run time: nothing here is linked.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

/// One library's C interface.
class Blas {
 public:
  /// OpenBLAS, by the name libopenblas.so.0; null where it is not installed. It computes on the
  /// threads of base/parallel: a second pool, spinning, would disturb whatever runs next.
  static const Blas* openblas();

  /// The MKL that libtorch holds, with the 16-bit products that ATen does not use; null where
  /// libtorch was built with another library.
  static const Blas* mkl();

  const std::string& name() const { return name_; }

  /// Whether multiply() takes matrices of that dtype.
  bool takes(at::ScalarType dtype) const { return function_of(dtype) != nullptr; }

  /// c [m, n] (float32, contiguous rows) = a [m, k] b [k, n] + beta c; each of a and b has
  /// contiguous rows or contiguous columns.
  void multiply(const at::Tensor& a, const at::Tensor& b, float beta, const at::Tensor& c) const;

 private:
  void* function_of(at::ScalarType dtype) const;

  std::string name_;
  bool has_own_threads_ = false;
  void *float32_ = nullptr, *bfloat16_ = nullptr, *float16_ = nullptr;
};

}  // namespace twofour::tensor
