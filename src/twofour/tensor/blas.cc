#include "twofour/tensor/blas.h"

#include <algorithm>

#include <dlfcn.h>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"

namespace twofour::tensor {
namespace {

// All functions here have this form; a and b have the input's type.
using Gemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                      const void* a, int stride_a, const void* b, int stride_b, float beta,
                      float* c, int stride_c);

constexpr int kRowMajor = 101, kAsIs = 111, kTransposed = 112;

// A matrix in the form of BLAS.
struct Operand {
  int transpose, stride;
  const void* data;
};

Operand operand_of(const at::Tensor& matrix) {
  const bool has_rows = matrix.stride(1) == 1;
  if (!has_rows && matrix.stride(0) != 1)
    fail("a matrix with contiguous rows or columns is needed");
  const int64_t stride = has_rows ? matrix.stride(0) : matrix.stride(1);
  const int64_t least = has_rows ? matrix.size(1) : matrix.size(0);
  return {has_rows ? kAsIs : kTransposed, static_cast<int>(std::max(stride, least)),
          matrix.const_data_ptr()};
}

}  // namespace

const Blas* Blas::openblas() {
  static const Blas kBlas = [] {
    Blas blas;
    blas.name_ = "openblas";
    void* library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) return blas;
    blas.float32_ = dlsym(library, "cblas_sgemm");
    blas.bfloat16_ = dlsym(library, "cblas_sbgemm");
    const auto set_threads =
        reinterpret_cast<void (*)(int)>(dlsym(library, "openblas_set_num_threads"));
    if (set_threads) set_threads(1);
    return blas;
  }();
  return kBlas.float32_ ? &kBlas : nullptr;
}

const Blas* Blas::mkl() {
  static const Blas kBlas = [] {
    Blas blas;
    blas.name_ = "mkl";
    blas.has_own_threads_ = true;  // of the OpenMP runtime, which is also ours
    // Python loads libtorch without adding its symbols to the process. If libtorch is linked into
    // the program, null stands for the program's symbols.
    void* library = dlopen("libtorch_cpu.so", RTLD_NOW | RTLD_NOLOAD);
    blas.bfloat16_ = dlsym(library, "cblas_gemm_bf16bf16f32");
    blas.float16_ = dlsym(library, "cblas_gemm_f16f16f32");
    return blas;
  }();
  return kBlas.bfloat16_ || kBlas.float16_ ? &kBlas : nullptr;
}

void* Blas::function_of(at::ScalarType dtype) const {
  return dtype == at::kFloat ? float32_ : dtype == at::kBFloat16 ? bfloat16_ : float16_;
}

void Blas::multiply(const at::Tensor& a, const at::Tensor& b, float beta,
                    const at::Tensor& c) const {
  const auto gemm = reinterpret_cast<Gemm>(function_of(a.scalar_type()));
  const auto product = [&](const at::Tensor& left, const at::Tensor& right, const at::Tensor& sum) {
    const Operand x = operand_of(left), y = operand_of(right);
    gemm(kRowMajor, x.transpose, y.transpose, static_cast<int>(left.size(0)),
         static_cast<int>(right.size(1)), static_cast<int>(left.size(1)), 1.0f, x.data, x.stride,
         y.data, y.stride, beta, sum.mutable_data_ptr<float>(), static_cast<int>(sum.stride(0)));
  };
  if (has_own_threads_) return product(a, b, c);
  const int dimension = c.size(0) >= c.size(1) ? 0 : 1;
  parallel_for(0, c.size(dimension), /*grain=*/16, [&](int64_t first, int64_t last) {
    const at::Tensor part = c.slice(dimension, first, last);
    if (dimension == 0) {
      product(a.slice(0, first, last), b, part);
    } else {
      product(a, b.slice(1, first, last), part);
    }
  });
}

}  // namespace twofour::tensor
