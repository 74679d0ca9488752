// The permutation and multiply-add of a line of x and 16 words of a weight, for AVX-512 bf16.
// Everything has internal linkage.
#pragma once

#include <cstddef>
#include <type_traits>

#include "twofour/kernels/products/lines24.h"
#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

// A word is a group: both kept bfloat16 values.
struct PairLine {
  static constexpr int64_t kColumns = 32;  // of a chunk
  // `places`: the column in the chunk for each 16-bit lane, in the lower five bits.
  static __m512 multiply_add(__m512i word, __m512i places, __m512i line, __m512 sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(word),
                            reinterpret_cast<__m512bh>(_mm512_permutexvar_epi16(places, line)));
  }
};

// A word is half a group: one kept value as float32.
struct FloatLine {
  static constexpr int64_t kColumns = 16;
  // `places`: the column in the chunk for each 32-bit lane, in the lower four bits.
  static __m512 multiply_add(__m512i word, __m512i places, __m512i line, __m512 sum) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(word),
                           _mm512_permutexvar_ps(places, _mm512_castsi512_ps(line)), sum);
  }
};

template <class T>
using LineOf = std::conditional_t<std::is_same_v<T, bfloat16>, PairLine, FloatLine>;

// One chunk of columns of a token; 0 beyond `columns`.
inline __m512i load_line(const bfloat16* x, int64_t columns) {
  return _mm512_maskz_loadu_epi16(first_of_32_lanes(columns), x);
}
template <class T>
__m512i load_line(const T* x, int64_t columns) {
  return _mm512_castps_si512(load_floats(x, first_lanes(columns)));
}

// x [tokens, columns], rows `stride` apart, as lines.
template <class T>
void pack_rows(const T* x, int64_t tokens, int64_t columns, int64_t stride, std::byte* out) {
  constexpr int64_t kColumns = LineOf<T>::kColumns;
  for (int64_t t = 0; t < tokens; ++t) {
    std::byte* line = out + t * kLineBytes;
    for (int64_t c = 0; c < columns; c += kColumns, line += tokens * kLineBytes) {
      _mm512_store_si512(line, load_line(x + t * stride + c, columns - c));
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
