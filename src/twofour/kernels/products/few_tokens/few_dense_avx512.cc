#include "twofour/kernels/products/few_tokens/few_dense_generic.h"
#include "twofour/kernels/products/few_tokens/few_dense_totals.h"
#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

struct Avx512 {
  using X = float;
  using Sum = __m512;
  static constexpr int64_t kStep = 16;
  static constexpr int kUnrolled = 32, kBlockTokens = 4;

  template <class T>
  static __m512 weights(const T* at) {
    return load_floats(at, 0xffff);
  }
  template <class T>
  static __m512 first_weights(const T* at, int64_t count) {
    return load_floats(at, first_lanes(count));
  }
  static __m512 entries(const float* x) { return _mm512_loadu_ps(x); }
  static void add(__m512& sum, __m512 weight, __m512 entry) {
    sum = _mm512_fmadd_ps(weight, entry, sum);
  }
  template <size_t kRows>
  static void totals(const __m512 (&sums)[kRows], float* out) {
    store_totals(sums, out);
  }
};

}  // namespace

template <>
const DenseLoops<float>& few_dense_avx512() {
  return kDenseLoops<Avx512, float>;
}

template <>
const DenseLoops<bfloat16>& few_dense_avx512() {
  return kDenseLoops<Avx512, bfloat16>;
}

template <>
const DenseLoops<float16>& few_dense_avx512() {
  return kDenseLoops<Avx512, float16>;
}

}  // namespace twofour::kernels
