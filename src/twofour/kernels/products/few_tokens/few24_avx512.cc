// float32 arithmetic on 16 kept values (eight groups) at a time. The positions of a group are two
// fields of two bits, so shifting 32 of their bits by a different count in each lane gives the
// lanes' places within their groups. Adding 4 · group gives indices into the 32 entries of x in two
// registers.
#include "twofour/kernels/products/few_tokens/few24_gather.h"
#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

inline __m512 load_values(const float* values) { return _mm512_loadu_ps(values); }
inline __m512 load_values(const bfloat16* values) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline __m512 load_values(const float16* values) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values)));
}

inline __m512i lanes_index(uint32_t positions) {
  const __m512i shifts =
      _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i groups =
      _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
  const __m512i shifted = _mm512_srlv_epi32(_mm512_set1_epi32(static_cast<int>(positions)), shifts);
  return _mm512_ternarylogic_epi32(shifted, _mm512_set1_epi32(3), groups, kAndThenOr);
}

// Multiplies kRows rows from `row` on by kTokens tokens: sums [kTokens, kFewRows].
template <class T, int kRows, int kTokens>
void multiply_block(const Packed24View<T>& a, int64_t row, const float* x, int64_t x_stride,
                    float* sums) {
  const T* values = a.row_values(row);
  const uint8_t* positions = a.row_positions(row);
  const int64_t value_stride = a.columns / 2, position_stride = a.position_bytes();
  const Ahead ahead = ahead_of_rows(a, kRows);
  __m512 sum[kRows][kTokens];
  for (auto& of_row : sum) {
    for (auto& s : of_row) s = _mm512_setzero_ps();
  }
  const auto add = [&](int64_t k, auto&& values_of, auto&& positions_of) {
    __m512 low[kTokens], high[kTokens];
    for (int t = 0; t < kTokens; ++t) {
      low[t] = _mm512_loadu_ps(x + t * x_stride + k);
      high[t] = _mm512_loadu_ps(x + t * x_stride + k + 16);
    }
    for (int r = 0; r < kRows; ++r) {
      const T* value_at = values + r * value_stride + k / 2;
      const uint8_t* position_at = positions + r * position_stride + k / 8;
      prefetch(value_at, ahead.values);
      if (k % kLineColumns == 0) prefetch(position_at, ahead.positions);
      const __m512i index = lanes_index(positions_of(position_at));
      const __m512 value = values_of(value_at);
      for (int t = 0; t < kTokens; ++t) {
        const __m512 entries = _mm512_permutex2var_ps(low[t], index, high[t]);
        sum[r][t] = _mm512_fmadd_ps(value, entries, sum[r][t]);
      }
    }
  };
  int64_t k = 0;
  for (; k + 32 <= a.columns; k += 32) {
    add(
        k, [](const T* at) { return load_values(at); },
        [](const uint8_t* at) {
          uint32_t bits;
          std::memcpy(&bits, at, sizeof bits);
          return bits;
        });
  }
  if (k < a.columns) {
    const int64_t groups = (a.columns - k) / 4;
    add(
        k, [&](const T* at) { return load_floats(at, first_lanes(2 * groups)); },
        [&](const uint8_t* at) {
          uint32_t bits = 0;
          std::memcpy(&bits, at, static_cast<size_t>(groups + 1) / 2);
          return bits;
        });
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < kRows; ++r) sums[t * kFewRows + r] = _mm512_reduce_add_ps(sum[r][t]);
  }
}

struct Avx512 {
  static constexpr int64_t kGatherTokens = 12;
  static constexpr int kBlockTokens = 4, kLanes = 16, kVectors = 4;

  template <class T, int kRows, int kTokens>
  static void block(const Packed24View<T>& a, int64_t row, const float* x, int64_t x_stride,
                    float* sums) {
    multiply_block<T, kRows, kTokens>(a, row, x, x_stride, sums);
  }

  static void arrange(float*, int64_t, int64_t) {}
};

}  // namespace

template <>
const FewLoops<float>& few_avx512() {
  return GatherLoops<Avx512>::kLoops<float>;
}

template <>
const FewLoops<bfloat16>& few_avx512() {
  return GatherLoops<Avx512>::kLoops<bfloat16>;
}

template <>
const FewLoops<float16>& few_avx512() {
  return GatherLoops<Avx512>::kLoops<float16>;
}

}  // namespace twofour::kernels
