#include <immintrin.h>

#include "twofour/kernels/products/few_tokens/few_dense_generic.h"
#include "twofour/kernels/products/few_tokens/few_dense_totals.h"
#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {
namespace {

struct Avx2 {
  using X = float;
  using Sum = __m256;
  static constexpr int64_t kStep = 8;
  static constexpr int kUnrolled = 16, kBlockTokens = 3;

  template <class T>
  static __m256 weights(const T* at) {
    return load_lanes<Floats8>(at);
  }
  template <class T>
  static __m256 first_weights(const T* at, int64_t count) {
    T first[kStep] = {};
    std::memcpy(first, at, static_cast<size_t>(count) * sizeof(T));
    return load_lanes<Floats8>(first);
  }
  static __m256 entries(const float* x) { return _mm256_loadu_ps(x); }
  static void add(__m256& sum, __m256 weight, __m256 entry) {
    sum = _mm256_fmadd_ps(weight, entry, sum);
  }
  template <size_t kRows>
  static void totals(const __m256 (&sums)[kRows], float* out) {
    store_totals(sums, out);
  }
};

}  // namespace

template <>
const DenseLoops<float>& few_dense_avx2() {
  return kDenseLoops<Avx2, float>;
}

template <>
const DenseLoops<bfloat16>& few_dense_avx2() {
  return kDenseLoops<Avx2, bfloat16>;
}

template <>
const DenseLoops<float16>& few_dense_avx2() {
  return kDenseLoops<Avx2, float16>;
}

}  // namespace twofour::kernels
