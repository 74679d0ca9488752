// bfloat16 with the dot product of pairs, 32 entries at a time; x stays bfloat16.
#include "twofour/kernels/products/few_tokens/few_dense_generic.h"
#include "twofour/kernels/products/few_tokens/few_dense_totals.h"
#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

struct Avx512Bf16 {
  using X = bfloat16;
  using Sum = __m512;
  static constexpr int64_t kStep = 32;
  static constexpr int kUnrolled = 32, kBlockTokens = 4;

  static __m512bh weights(const bfloat16* at) {
    return reinterpret_cast<__m512bh>(_mm512_loadu_si512(at));
  }
  static __m512bh first_weights(const bfloat16* at, int64_t count) {
    return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(first_of_32_lanes(count), at));
  }
  static __m512bh entries(const bfloat16* x) {
    return reinterpret_cast<__m512bh>(_mm512_loadu_si512(x));
  }
  static void add(__m512& sum, __m512bh weight, __m512bh entry) {
    sum = _mm512_dpbf16_ps(sum, weight, entry);
  }
  template <size_t kRows>
  static void totals(const __m512 (&sums)[kRows], float* out) {
    store_totals(sums, out);
  }
};

constexpr DenseLoops<bfloat16> kLoops = {.x_bytes = x_bytes_of_bfloat16,
                                         .load = load_bfloat16,
                                         .multiply = multiply_dense<Avx512Bf16, bfloat16>,
                                         .finish = finish_any<bfloat16>};

}  // namespace

template <>
const DenseLoops<float>& few_dense_avx512bf16() {
  return few_dense_avx512<float>();
}

template <>
const DenseLoops<bfloat16>& few_dense_avx512bf16() {
  return kLoops;
}

template <>
const DenseLoops<float16>& few_dense_avx512bf16() {
  return few_dense_avx512<float16>();
}

}  // namespace twofour::kernels
