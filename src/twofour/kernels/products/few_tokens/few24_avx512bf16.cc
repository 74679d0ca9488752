// bfloat16 for few tokens, with the dot product of pairs: 32 kept values (16 groups) at a time. x
// stays bfloat16; a 16-bit permutation selects from 64 entries in two registers. few24_row_pairs.h
// handles more tokens.
#include "twofour/kernels/products/few_tokens/few24_gather.h"
#include "twofour/kernels/products/few_tokens/few24_row_pairs.h"

namespace twofour::kernels {
namespace {

inline __m512i lanes_index(uint64_t positions) {
  // Bits 16 j to 16 j + 15 of the positions belong to lanes 8 j to 8 j + 7.
  const __m512i spread = _mm512_set_epi64(0x0706070607060706, 0x0706070607060706,  //
                                          0x0504050405040504, 0x0504050405040504,  //
                                          0x0302030203020302, 0x0302030203020302,  //
                                          0x0100010001000100, 0x0100010001000100);
  const __m512i shifts = _mm512_broadcast_i32x4(_mm_setr_epi16(0, 2, 4, 6, 8, 10, 12, 14));
  const __m512i groups =
      _mm512_set_epi16(60, 60, 56, 56, 52, 52, 48, 48, 44, 44, 40, 40, 36, 36, 32, 32, 28, 28, 24,
                       24, 20, 20, 16, 16, 12, 12, 8, 8, 4, 4, 0, 0);
  const __m512i words =
      _mm512_shuffle_epi8(_mm512_set1_epi64(static_cast<int64_t>(positions)), spread);
  return _mm512_ternarylogic_epi32(_mm512_srlv_epi16(words, shifts), _mm512_set1_epi16(3), groups,
                                   kAndThenOr);
}

// Multiplies kRows rows from `row` on by kTokens tokens: sums [kTokens, kFewRows].
template <int kRows, int kTokens>
void multiply_block(const Packed24View<bfloat16>& a, int64_t row, const bfloat16* x,
                    int64_t x_stride, float* sums) {
  const bfloat16* values = a.row_values(row);
  const uint8_t* positions = a.row_positions(row);
  const int64_t value_stride = a.columns / 2, position_stride = a.position_bytes();
  const Ahead ahead = ahead_of_rows(a, kRows);
  __m512 sum[kRows][kTokens];
  for (auto& of_row : sum) {
    for (auto& s : of_row) s = _mm512_setzero_ps();
  }
  const auto add = [&](int64_t k, __mmask32 lanes, size_t position_bytes) {
    __m512i low[kTokens], high[kTokens];
    for (int t = 0; t < kTokens; ++t) {
      low[t] = _mm512_loadu_si512(x + t * x_stride + k);
      high[t] = _mm512_loadu_si512(x + t * x_stride + k + 32);
    }
    for (int r = 0; r < kRows; ++r) {
      const bfloat16* value_at = values + r * value_stride + k / 2;
      const uint8_t* position_at = positions + r * position_stride + k / 8;
      prefetch(value_at, ahead.values);
      if (k % kLineColumns == 0) prefetch(position_at, ahead.positions);
      uint64_t bits = 0;
      std::memcpy(&bits, position_at, position_bytes);
      const __m512i index = lanes_index(bits);
      const auto value = reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(lanes, value_at));
      for (int t = 0; t < kTokens; ++t) {
        const auto entries =
            reinterpret_cast<__m512bh>(_mm512_permutex2var_epi16(low[t], index, high[t]));
        sum[r][t] = _mm512_dpbf16_ps(sum[r][t], value, entries);
      }
    }
  };
  int64_t k = 0;
  for (; k + 64 <= a.columns; k += 64) add(k, ~0u, 8);
  if (k < a.columns) {
    const int64_t groups = (a.columns - k) / 4;
    add(k, (1u << 2 * groups) - 1, static_cast<size_t>(groups + 1) / 2);
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < kRows; ++r) sums[t * kFewRows + r] = _mm512_reduce_add_ps(sum[r][t]);
  }
}

void multiply_dots(const Packed24View<bfloat16>& a, int64_t row, int64_t rows, const std::byte* x,
                   int64_t tokens, float* sums) {
  multiply_by_row<4, bfloat16>(
      a, row, rows, x, tokens, sums,
      [&](auto row_count, auto token_count, int64_t from, const bfloat16* token, int64_t stride,
          float* out) { multiply_block<row_count, token_count>(a, from, token, stride, out); });
}

constexpr FewLoops<bfloat16> kDots = {.x_bytes = x_bytes_of_bfloat16,
                                      .load = load_bfloat16,
                                      .multiply = multiply_dots,
                                      .finish = finish_any<bfloat16>};

// Vectors along single rows, and the number of tokens up to which they beat pairs of rows.
template <class T>
constexpr int64_t kGatherTokens = std::is_same_v<T, bfloat16> ? 4 : 1;

template <class T>
const FewLoops<T>& gather() {
  if constexpr (std::is_same_v<T, bfloat16>) {
    return kDots;
  } else {
    return few_avx512<T>();
  }
}

template <class T>
size_t x_bytes(int64_t tokens, int64_t columns) {
  return tokens > kGatherTokens<T> ? x_bytes_in_lines<T>(tokens, columns)
                                   : gather<T>().x_bytes(tokens, columns);
}

template <class T>
void load(const T* x, int64_t tokens, int64_t columns, int64_t stride, int64_t first, int64_t last,
          std::byte* out) {
  const auto load_x = tokens > kGatherTokens<T> ? load_in_lines<T> : gather<T>().load;
  load_x(x, tokens, columns, stride, first, last, out);
}

template <class T>
void multiply(const Packed24View<T>& a, int64_t row, int64_t rows, const std::byte* x,
              int64_t tokens, float* sums) {
  const auto product = tokens > kGatherTokens<T> ? multiply_by_row_pair<T> : gather<T>().multiply;
  product(a, row, rows, x, tokens, sums);
}

template <class T>
constexpr FewLoops<T> kLoops = {
    .x_bytes = x_bytes<T>, .load = load<T>, .multiply = multiply<T>, .finish = finish_any<T>};

}  // namespace

template <>
const FewLoops<float>& few_avx512bf16() {
  return kLoops<float>;
}

template <>
const FewLoops<bfloat16>& few_avx512bf16() {
  return kLoops<bfloat16>;
}

template <>
const FewLoops<float16>& few_avx512bf16() {
  return kLoops<float16>;
}

}  // namespace twofour::kernels
