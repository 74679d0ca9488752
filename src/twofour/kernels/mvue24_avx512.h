// MVUE of 16 groups at a time: the operations of mvue24_group in the same order, so that the bits
// are the same. Groups are along tokens, vectors along features.
#pragma once

#include "twofour/kernels/avx512.h"
#include "twofour/kernels/rows_loops.h"

namespace twofour::kernels {
namespace {

// 32-bit words of eight Philox blocks, one in the lower half of each 64-bit lane: the multiply
// takes the lower halves only, so that upper halves need no clearing.
struct PhiloxLanes {
  __m512i word[4];
};

inline PhiloxLanes philox8(const RandomStream& stream, uint32_t first) {
  const __m512i index =
      _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
  PhiloxLanes c = {{index, _mm512_set1_epi64(stream.micro_batch), _mm512_set1_epi64(stream.step),
                    _mm512_set1_epi64(stream.tensor)}};
  uint32_t key0 = static_cast<uint32_t>(stream.seed);
  uint32_t key1 = static_cast<uint32_t>(stream.seed >> 32);
  const __m512i multiplier0 = _mm512_set1_epi64(0xD2511F53),
                multiplier1 = _mm512_set1_epi64(0xCD9E8D57);
  for (int round = 0; round < 10; ++round) {
    const __m512i product0 = _mm512_mul_epu32(c.word[0], multiplier0);
    const __m512i product1 = _mm512_mul_epu32(c.word[2], multiplier1);
    const auto mix = [](__m512i product, __m512i word, uint32_t key) {
      return _mm512_xor_si512(_mm512_xor_si512(_mm512_srli_epi64(product, 32), word),
                              _mm512_set1_epi64(key));
    };
    c = {{mix(product1, c.word[1], key0), product1, mix(product0, c.word[3], key1), product0}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}

// The even groups' word in the lower half, the odd groups' in the upper half, as uniforms.
inline __m512 uniforms(__m512i even, __m512i odd) {
  const __m512i bits = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srli_epi32(bits, 8)), _mm512_set1_ps(0x1p-24f));
}

struct Drawn16 {
  __m512 entry[4];
};

inline bool all_finite(const __m512 (&x)[4]) {
  __mmask16 bad = 0;
  for (const __m512 value : x) bad |= _mm512_fpclass_ps_mask(value, 0x99);  // NaN, +inf, -inf
  return bad == 0;
}

inline Drawn16 draw_one_by_one(const __m512 (&x)[4], __m512 u, __m512 v) {
  float in[4][16], uniform[2][16], out[4][16];
  for (int i = 0; i < 4; ++i) _mm512_storeu_ps(in[i], x[i]);
  _mm512_storeu_ps(uniform[0], u);
  _mm512_storeu_ps(uniform[1], v);
  for (int j = 0; j < 16; ++j) {
    float drawn[4];
    mvue24_group({in[0][j], in[1][j], in[2][j], in[3][j]}, uniform[0][j], uniform[1][j], drawn);
    for (int i = 0; i < 4; ++i) out[i][j] = drawn[i];
  }
  Drawn16 result;
  for (int i = 0; i < 4; ++i) result.entry[i] = _mm512_loadu_ps(out[i]);
  return result;
}

// Which of four entries `at` falls on, of the running sums c[0..2].
struct Choice {
  __mmask16 is[4];
};

inline Choice choose(__m512 at, const __m512 (&c)[3]) {
  Choice choice;
  __mmask16 left = 0xffff;
  for (int i = 0; i < 3; ++i) {
    choice.is[i] = _mm512_mask_cmp_ps_mask(left, at, c[i], _CMP_LT_OQ);
    left = static_cast<__mmask16>(left & ~choice.is[i]);
  }
  choice.is[3] = left;
  return choice;
}

inline __m512 pick(const Choice& choice, const __m512 (&of)[4]) {
  __m512 value = of[3];
  for (int i = 0; i < 3; ++i) value = _mm512_mask_mov_ps(value, choice.is[i], of[i]);
  return value;
}

inline Drawn16 draw16(const __m512 (&x)[4], __m512 u, __m512 v) {
  if (!all_finite(x)) return draw_one_by_one(x, u, v);
  __m512 b[4], q[4], d[4], w[4], others[4];
  for (int i = 0; i < 4; ++i) b[i] = _mm512_abs_ps(x[i]);
  const __m512 m = _mm512_max_ps(_mm512_max_ps(b[0], b[1]), _mm512_max_ps(b[2], b[3]));
  __m512i bits =
      _mm512_sub_epi32(_mm512_set1_epi32(0x7f000000),
                       _mm512_and_si512(_mm512_castps_si512(m), _mm512_set1_epi32(0x7f800000)));
  bits = _mm512_min_epu32(_mm512_max_epu32(bits, _mm512_set1_epi32(0x00800000)),
                          _mm512_set1_epi32(0x7e800000));
  const __m512 scale = _mm512_castsi512_ps(bits);
  const __m512 back = _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_set1_epi32(0x7f000000), bits));
  for (__m512& value : b) value = _mm512_mul_ps(value, scale);
  const auto sum3 = [](__m512 one, __m512 two, __m512 three) {
    return _mm512_add_ps(_mm512_add_ps(one, two), three);
  };
  d[0] = sum3(b[1], b[2], b[3]);
  d[1] = sum3(b[0], b[2], b[3]);
  d[2] = sum3(b[0], b[1], b[3]);
  d[3] = sum3(b[0], b[1], b[2]);
  const __m512 zero = _mm512_setzero_ps();
  for (int i = 0; i < 4; ++i) {
    q[i] = _mm512_maskz_div_ps(_mm512_cmp_ps_mask(d[i], zero, _CMP_GT_OQ), b[i], d[i]);
  }
  const __m512 c1 = _mm512_add_ps(b[0], b[1]), c2 = _mm512_add_ps(c1, b[2]);
  const __m512 sum = _mm512_add_ps(c2, b[3]);
  const Choice first = choose(_mm512_mul_ps(u, sum), {b[0], c1, c2});
  for (int i = 0; i < 4; ++i) w[i] = _mm512_mask_mov_ps(b[i], first.is[i], zero);
  const __m512 e1 = _mm512_add_ps(w[0], w[1]), e2 = _mm512_add_ps(e1, w[2]);
  const __m512 rest = _mm512_add_ps(e2, w[3]);
  const Choice second = choose(_mm512_mul_ps(v, rest), {w[0], e1, e2});
  others[0] = sum3(q[1], q[2], q[3]);
  others[1] = sum3(q[0], q[2], q[3]);
  others[2] = sum3(q[0], q[1], q[3]);
  others[3] = sum3(q[0], q[1], q[2]);
  const auto value_of = [&](const Choice& choice) {
    const __m512 divisor = _mm512_add_ps(_mm512_set1_ps(1.0f), pick(choice, others));
    return _mm512_mul_ps(back, _mm512_div_ps(sum, divisor));
  };
  const __m512 one = value_of(first), two = value_of(second);
  Drawn16 drawn;
  for (int i = 0; i < 4; ++i) {
    const __mmask16 positive = _mm512_cmp_ps_mask(b[i], zero, _CMP_GT_OQ);
    __m512 value = _mm512_maskz_mov_ps(positive & first.is[i], one);
    value = _mm512_mask_mov_ps(value, positive & second.is[i], two);
    const __m512 sign = _mm512_and_ps(x[i], _mm512_set1_ps(-0.0f));
    drawn.entry[i] = _mm512_maskz_or_ps(positive & (first.is[i] | second.is[i]), value, sign);
  }
  return drawn;
}

// The draws of columns begin to begin + 15 of one group of tokens.
template <class T>
Drawn16 draw_columns(const T* in, int64_t rows, int64_t columns, int64_t stride, int64_t begin,
                     const PhiloxLanes& numbers) {
  __m512 x[4];
  for (int64_t r = 0; r < 4; ++r) {
    x[r] = load_floats(in + r * stride + begin, r < rows ? first_lanes(columns - begin) : 0);
  }
  return draw16(x, uniforms(numbers.word[0], numbers.word[2]),
                uniforms(numbers.word[1], numbers.word[3]));
}

template <class T>
void mvue_rows_avx512(const T* in, int64_t rows, int64_t columns, int64_t stride,
                      const RandomStream& stream, uint32_t first_group, T* out) {
  for (int64_t begin = 0; begin < columns; begin += 16) {
    const uint32_t number = (first_group + static_cast<uint32_t>(begin)) / 2;
    const Drawn16 drawn = draw_columns(in, rows, columns, stride, begin, philox8(stream, number));
    for (int64_t r = 0; r < rows; ++r) {
      store_floats(drawn.entry[r], out + r * columns + begin, first_lanes(columns - begin));
    }
  }
}

inline __m512i rounded_words(__m512 value, float) { return _mm512_castps_si512(value); }
inline __m512i rounded_words(__m512 value, bfloat16) {
  return _mm512_cvtepu16_epi32(round_to_bfloat16(value));
}

// Four quads of one step.
inline void store_quads(__m512i words, __m512i offsets, int64_t step, int64_t quad, int64_t quads,
                        int64_t block, Panel24& panel) {
  alignas(64) uint32_t word[16];
  alignas(32) uint16_t offset[16];
  _mm512_store_si512(word, words);
  _mm256_store_si256(reinterpret_cast<__m256i*>(offset), _mm512_cvtepi32_epi16(offsets));
  for (int64_t i = 0; i < quads; ++i) {
    std::memcpy(panel.words(block, quad + i) + step * kQuad, word + i * kQuad, 4 * kQuad);
    std::memcpy(panel.offsets(block, quad + i) + step * kQuad, offset + i * kQuad, 2 * kQuad);
  }
}

// places_of_pair and store_group of 16 rows.
template <class T>
void store_drawn(const Drawn16& drawn, int64_t row, int64_t g, int64_t block, Panel24& panel) {
  __mmask16 kept[4];
  for (int i = 0; i < 4; ++i) {
    kept[i] = _mm512_cmp_ps_mask(drawn.entry[i], _mm512_setzero_ps(), _CMP_NEQ_UQ);
  }
  const auto number = [](int i) { return _mm512_set1_epi32(i); };
  const __mmask16 first0 = kept[0], first1 = kept[1] & ~first0;
  const __mmask16 first2 = static_cast<__mmask16>(~(first0 | first1));
  const __mmask16 second3 = kept[3] | first2;
  const __mmask16 second2 = static_cast<__mmask16>(~second3 & (kept[2] | first1));
  __m512i first = _mm512_mask_mov_epi32(number(2), first1, number(1));
  first = _mm512_mask_mov_epi32(first, first0, number(0));
  __m512i second = _mm512_mask_mov_epi32(number(1), second2, number(2));
  second = _mm512_mask_mov_epi32(second, second3, number(3));
  __m512 one = _mm512_mask_mov_ps(drawn.entry[2], first1, drawn.entry[1]);
  one = _mm512_mask_mov_ps(one, first0, drawn.entry[0]);
  __m512 two = _mm512_mask_mov_ps(drawn.entry[1], second2, drawn.entry[2]);
  two = _mm512_mask_mov_ps(two, second3, drawn.entry[3]);
  const __m512i low = rounded_words(one, T{}), high = rounded_words(two, T{});
  const int64_t quad = row / kQuad, left = panel.quads() - quad, quads = left < 4 ? left : 4;
  if (panel.kind() == PanelKind::kBfloat16Pairs) {
    __m512i pair =
        _mm512_add_epi32(_mm512_slli_epi32(first, 1), _mm512_sub_epi32(second, number(1)));
    pair = _mm512_mask_sub_epi32(pair, first2, pair, number(1));
    store_quads(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)), _mm512_slli_epi32(pair, 8), g,
                quad, quads, block, panel);
  } else {
    const int shift = sizeof(T) == 4 ? 0 : 16;
    store_quads(_mm512_slli_epi32(low, shift), _mm512_slli_epi32(first, 8), 2 * g, quad, quads,
                block, panel);
    store_quads(_mm512_slli_epi32(high, shift), _mm512_slli_epi32(second, 8), 2 * g + 1, quad,
                quads, block, panel);
  }
}

template <class T>
void mvue_block_avx512(const T* in, int64_t tokens, int64_t stride, const RandomStream& stream,
                       uint32_t first_group, uint32_t group_stride, int64_t block, Panel24& panel) {
  for (int64_t row = 0; row < panel.rows(); row += 16) {
    for (int64_t g = 0; 4 * g < tokens; ++g) {  // inside, so that whole lines of a quad are written
      const uint32_t number = first_group + static_cast<uint32_t>(g) * group_stride;
      const PhiloxLanes numbers = philox8(stream, (number + static_cast<uint32_t>(row)) / 2);
      const Drawn16 drawn =
          draw_columns(in + 4 * g * stride, tokens - 4 * g, panel.rows(), stride, row, numbers);
      store_drawn<T>(drawn, row, g, block, panel);
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
