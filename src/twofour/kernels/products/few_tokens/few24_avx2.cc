// float32 arithmetic on eight kept values (four groups) at a time. A permutation within 128 bits
// selects from the four entries of x of a group, so two permutations and a blend serve four groups.
// x is stored in the group order that this needs: of every four, 0, 2, 1, 3.
#include <immintrin.h>

#include "twofour/kernels/products/few_tokens/few24_gather.h"

namespace twofour::kernels {
namespace {

inline __m256 load_values(const float* values) { return _mm256_loadu_ps(values); }
inline __m256 load_values(const bfloat16* values) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline __m256 load_values(const float16* values) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
}

// The permutation only uses the two lowest bits of a lane.
inline __m256i places(uint16_t positions) {
  return _mm256_srlv_epi32(_mm256_set1_epi32(positions),
                           _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
}

inline float add_lanes(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// The last groups of a row, fewer than four, padded with zeros.
template <class T>
struct LastGroups {
  T values[8] = {};
  uint8_t positions[2] = {};
  LastGroups(const T* from, const uint8_t* at, int64_t groups) {
    std::memcpy(values, from, static_cast<size_t>(2 * groups) * sizeof(T));
    std::memcpy(positions, at, static_cast<size_t>(groups + 1) / 2);
  }
};

// Multiplies kRows rows from `row` on by kTokens tokens: sums [kTokens, kFewRows].
template <class T, int kRows, int kTokens>
void multiply_block(const Packed24View<T>& a, int64_t row, const float* x, int64_t x_stride,
                    float* sums) {
  const int64_t value_stride = a.columns / 2, position_stride = a.position_bytes();
  __m256 sum[kRows][kTokens];
  for (auto& of_row : sum) {
    for (auto& s : of_row) s = _mm256_setzero_ps();
  }
  const auto add = [&](int64_t k, int r, const T* values, const uint8_t* positions) {
    // Each iteration reads half or a quarter of a line.
    if (k % 32 == 0) prefetch(values, kRows * value_stride * static_cast<int64_t>(sizeof(T)));
    if (k % kLineColumns == 0) prefetch(positions, kRows * position_stride);
    uint16_t bits;
    std::memcpy(&bits, positions, sizeof bits);
    const __m256i place = places(bits);
    const __m256 value = load_values(values);
    for (int t = 0; t < kTokens; ++t) {
      const float* token = x + t * x_stride + k;
      const __m256 even = _mm256_permutevar_ps(_mm256_loadu_ps(token), place);
      const __m256 odd = _mm256_permutevar_ps(_mm256_loadu_ps(token + 8), place);
      sum[r][t] = _mm256_fmadd_ps(value, _mm256_blend_ps(even, odd, 0xcc), sum[r][t]);
    }
  };
  const T* values = a.row_values(row);
  const uint8_t* positions = a.row_positions(row);
  int64_t k = 0;
  for (; k + 16 <= a.columns; k += 16) {
    for (int r = 0; r < kRows; ++r) {
      add(k, r, values + r * value_stride + k / 2, positions + r * position_stride + k / 8);
    }
  }
  if (k < a.columns) {
    for (int r = 0; r < kRows; ++r) {
      const LastGroups<T> last(values + r * value_stride + k / 2,
                               positions + r * position_stride + k / 8, (a.columns - k) / 4);
      add(k, r, last.values, last.positions);
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < kRows; ++r) sums[t * kFewRows + r] = add_lanes(sum[r][t]);
  }
}

struct Avx2 {
  static constexpr int64_t kGatherTokens = 6;
  static constexpr int kBlockTokens = 3, kLanes = 8, kVectors = 2;

  template <class T, int kRows, int kTokens>
  static void block(const Packed24View<T>& a, int64_t row, const float* x, int64_t x_stride,
                    float* sums) {
    multiply_block<T, kRows, kTokens>(a, row, x, x_stride, sums);
  }

  // Orders every four groups as 0, 2, 1, 3.
  static void arrange(float* row, int64_t first, int64_t last) {
    for (int64_t k = first; k < last; k += 16) {
      const __m128 second = _mm_loadu_ps(row + k + 4);
      _mm_storeu_ps(row + k + 4, _mm_loadu_ps(row + k + 8));
      _mm_storeu_ps(row + k + 8, second);
    }
  }
};

}  // namespace

template <>
const FewLoops<float>& few_avx2() {
  return GatherLoops<Avx2>::kLoops<float>;
}

template <>
const FewLoops<bfloat16>& few_avx2() {
  return GatherLoops<Avx2>::kLoops<bfloat16>;
}

template <>
const FewLoops<float16>& few_avx2() {
  return GatherLoops<Avx2>::kLoops<float16>;
}

}  // namespace twofour::kernels
