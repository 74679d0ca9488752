// Dense products of BLAS libraries that are loaded at run time; none is linked.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

/// One library's C interface.
class Blas {
 public:
  /// OpenBLAS, as libopenblas.so.0; null if it is not installed. It uses the threads of
  /// base/parallel, because a second, spinning pool would disturb the next computation.
  static const Blas* openblas();

  /// The MKL inside libtorch, with the 16-bit products that ATen does not use; null if libtorch was
  /// built with another library.
  static const Blas* mkl();

  const std::string& name() const { return name_; }

  /// Whether multiply() takes matrices of that dtype.
  bool takes(at::ScalarType dtype) const { return function_of(dtype) != nullptr; }

  /// c [m, n] (float32, contiguous rows) = a [m, k] b [k, n] + beta c. a and b each have contiguous
  /// rows or contiguous columns.
  void multiply(const at::Tensor& a, const at::Tensor& b, float beta, const at::Tensor& c) const;

 private:
  void* function_of(at::ScalarType dtype) const;

  std::string name_;
  bool has_own_threads_ = false;
  void *float32_ = nullptr, *bfloat16_ = nullptr, *float16_ = nullptr;
};

}  // namespace twofour::tensor
