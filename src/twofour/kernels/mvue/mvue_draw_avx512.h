// MVUE's draws for 16 groups at a time, with the operations of group.h in the same order and so the
// same bits. Groups lie along tokens, vectors along features.
#pragma once

#include "twofour/kernels/group.h"
#include "twofour/kernels/mvue/mvue.h"
#include "twofour/kernels/simd/avx512.h"
#include "twofour/kernels/simd/philox_lanes.h"

namespace twofour::kernels {
namespace {

inline __m512 uniform(__m512i bits) {
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srli_epi32(bits, 8)), _mm512_set1_ps(0x1p-24f));
}

// The numbers of 32 groups, from eight blocks.
struct Uniforms32 {
  __m512 part[2];
};

// Groups 0 to 15, 16 to 31.
inline Uniforms32 uniforms_in_order(const PhiloxLanes& numbers) {
  const __m512i keys = _mm512_set1_epi64(static_cast<int64_t>(numbers.keys));
  constexpr __mmask16 kLower = 0x5555;
  const auto words = [](__m512i product, __m512i c, __m512i key) {
    return _mm512_mask_xor_epi32(product, kLower, product, _mm512_xor_si512(c, key));
  };
  // Halves swapped: words 0 and 1, words 2 and 3.
  const __m512i a = words(_mm512_rol_epi64(numbers.product1, 32), numbers.c1, keys);
  const __m512i b =
      words(_mm512_rol_epi64(numbers.product0, 32), numbers.c3, _mm512_srli_epi64(keys, 32));
  return {
      {uniform(_mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b)),
       uniform(_mm512_permutex2var_epi64(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b))}};
}

// Even groups, odd groups: words 0 and 2, words 1 and 3.
inline Uniforms32 uniforms_by_parity(const PhiloxLanes& numbers) {
  constexpr __mmask16 kLower = 0x5555, kUpper = 0xaaaa;
  const __m512i upper =
      _mm512_mask_shuffle_epi32(numbers.product0, kLower, numbers.product1, _MM_PERM_DDBB);
  const __m512i before = _mm512_mask_shuffle_epi32(numbers.c1, kUpper, numbers.c3, _MM_PERM_CCAA);
  const __m512i even =
      xor_of_three(upper, before, _mm512_set1_epi64(static_cast<int64_t>(numbers.keys)));
  const __m512i odd =
      _mm512_mask_shuffle_epi32(numbers.product1, kUpper, numbers.product0, _MM_PERM_CCAA);
  return {{uniform(even), uniform(odd)}};
}

struct Scaled16 {
  __m512 b[4], back;
};

// DrawnPair for 16 groups.
struct Pair16 {
  __mmask16 first_upto[3], second_upto[2];
  __m512 first, second;
};

inline __mmask16 less(__m512 a, __m512 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
inline __mmask16 at_least(__m512 a, __m512 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
inline __m512 either(__mmask16 first, __m512 a, __m512 b) {
  return _mm512_mask_mov_ps(b, first, a);
}

// The first entry and, in order, the three others.
struct First16 {
  __m512 b, other[3], other01, others;
};

inline First16 take_first(const __m512 (&b)[4], const __mmask16 (&i)[3]) {
  First16 first;
  first.b = either(i[0], b[0], either(i[1], b[1], either(i[2], b[2], b[3])));
  for (int k = 0; k < 3; ++k) first.other[k] = either(i[k], b[k + 1], b[k]);
  first.other01 = _mm512_add_ps(first.other[0], first.other[1]);
  first.others = _mm512_add_ps(first.other01, first.other[2]);
  return first;
}

inline Pair16 draw_pair(const Scaled16& group, __m512 u) {
  const __m512(&b)[4] = group.b;
  const __m512 c1 = _mm512_add_ps(b[0], b[1]), c2 = _mm512_add_ps(c1, b[2]);
  const __m512 sum = _mm512_add_ps(c2, b[3]), at = _mm512_mul_ps(u, sum);
  Pair16 pair;
  const auto& i = pair.first_upto;
  const auto& j = pair.second_upto;
  pair.first_upto[0] = less(at, b[0]);
  pair.first_upto[1] = less(at, c1);
  pair.first_upto[2] = less(at, c2);
  const First16 first = take_first(b, i);
  const __m512 before = either(i[0], _mm512_setzero_ps(), either(i[1], b[0], either(i[2], c1, c2)));
  const __m512 bi = first.b, di = first.others;
  const __m512 then = _mm512_mul_ps(_mm512_sub_ps(at, before), di);
  pair.second_upto[0] = less(then, _mm512_mul_ps(first.other[0], bi));
  pair.second_upto[1] = less(then, _mm512_mul_ps(first.other01, bi));
  const __m512 bj = either(j[0], first.other[0], either(j[1], first.other[1], first.other[2]));
  const __m512 bk = either(j[0], first.other[1], first.other[0]);
  const __m512 bl = either(j[1], first.other[2], first.other[1]);
  const __m512 ij = _mm512_add_ps(bi, bj), dj = _mm512_add_ps(bi, _mm512_add_ps(bk, bl));
  const __m512 dk = _mm512_add_ps(ij, bl), dl = _mm512_add_ps(ij, bk);
  const __m512 q = _mm512_mul_ps(sum, _mm512_mul_ps(dk, dl));
  const __m512 s = _mm512_add_ps(_mm512_mul_ps(bk, dl), _mm512_mul_ps(bl, dk));
  const auto value = [&](__m512 b, __m512 d) {
    const __mmask16 positive = less(_mm512_setzero_ps(), b);
    const __m512 divisor = _mm512_add_ps(q, _mm512_mul_ps(d, s));
    return _mm512_mul_ps(_mm512_mul_ps(d, _mm512_maskz_div_ps(positive, q, divisor)), group.back);
  };
  pair.first = value(bi, dj);
  pair.second = value(bj, di);
  return pair;
}

inline Pair16 draw_exact_pair(const Scaled16& group, __m512 u) {
  const __m512(&b)[4] = group.b;
  const __m512 c1 = _mm512_add_ps(b[0], b[1]), c2 = _mm512_add_ps(c1, b[2]);
  const __m512 low = _mm512_add_ps(b[2], b[3]);
  const __m512 half = _mm512_mul_ps(_mm512_add_ps(c1, low), _mm512_set1_ps(0.5f));
  const __mmask16 large0 = at_least(b[0], _mm512_add_ps(b[1], low));
  const __mmask16 large1 = large0 | at_least(b[1], _mm512_add_ps(b[0], low));
  const __mmask16 large2 = large1 | at_least(b[2], _mm512_add_ps(c1, b[3]));
  const __mmask16 large = large2 | at_least(b[3], c2), small = static_cast<__mmask16>(~large);
  const __m512 at = _mm512_mul_ps(u, half);
  Pair16 pair;
  pair.first_upto[0] = large0 | _mm512_mask_cmp_ps_mask(small, at, b[0], _CMP_LT_OQ);
  pair.first_upto[1] = large1 | _mm512_mask_cmp_ps_mask(small, at, c1, _CMP_LT_OQ);
  pair.first_upto[2] = large2 | _mm512_mask_cmp_ps_mask(small, at, c2, _CMP_LT_OQ);
  const First16 first = take_first(b, pair.first_upto);
  const __m512 then = either(large, _mm512_mul_ps(u, first.others),
                             _mm512_sub_ps(_mm512_add_ps(at, half), first.b));
  const auto& j = pair.second_upto;
  pair.second_upto[0] = less(then, first.other[0]);
  pair.second_upto[1] = less(then, first.other01);
  const __m512 bj = either(j[0], first.other[0], either(j[1], first.other[1], first.other[2]));
  const auto value = [&](__m512 b, __m512 if_large) {
    const __mmask16 positive = less(_mm512_setzero_ps(), b);
    return _mm512_maskz_mul_ps(positive, either(large, if_large, half), group.back);
  };
  pair.first = value(first.b, first.b);
  pair.second = value(bj, first.others);
  return pair;
}

template <Mvue kKind>
Pair16 draw(const Scaled16& group, __m512 u) {
  return kKind == Mvue::kExact ? draw_exact_pair(group, u) : draw_pair(group, u);
}

struct Placed16 {
  __m512i entry[4];
};

// The new values of the two entries at their places; 0 elsewhere.
inline Placed16 place_words(const Pair16& pair, __m512i first, __m512i second) {
  const auto& i = pair.first_upto;
  const auto either = [](__mmask16 first, __m512i a, __m512i b) {
    return _mm512_mask_mov_epi32(b, first, a);
  };
  const __m512i zero = _mm512_setzero_si512();
  const __m512i other0 = _mm512_maskz_mov_epi32(pair.second_upto[0], second);
  const __m512i other1 =
      either(pair.second_upto[0], zero, _mm512_maskz_mov_epi32(pair.second_upto[1], second));
  const __m512i other2 = either(pair.second_upto[1], zero, second);
  return {{either(i[0], first, other0), either(i[0], other0, either(i[1], first, other1)),
           either(i[1], other1, either(i[2], first, other2)), either(i[2], other2, first)}};
}

template <Mvue kKind>
Groups16 draw_one_by_one(const __m512 (&x)[4], __m512 u) {
  float in[4][16], uniform[16], out[4][16];
  for (int i = 0; i < 4; ++i) _mm512_storeu_ps(in[i], x[i]);
  _mm512_storeu_ps(uniform, u);
  for (int j = 0; j < 16; ++j) {
    float drawn[4];
    mvue24_group<kKind>({in[0][j], in[1][j], in[2][j], in[3][j]}, uniform[j], drawn);
    for (int i = 0; i < 4; ++i) out[i][j] = drawn[i];
  }
  Groups16 result;
  for (int i = 0; i < 4; ++i) result.entry[i] = _mm512_loadu_ps(out[i]);
  return result;
}

template <Mvue kKind>
Groups16 draw16(const __m512 (&x)[4], __m512 u) {
  const __m512i exponent = _mm512_set1_epi32(0x7f800000);
  Scaled16 group;
  for (int i = 0; i < 4; ++i) group.b[i] = _mm512_abs_ps(x[i]);
  // As integers, so that NaN is the largest.
  const auto larger = [](__m512 a, __m512 b) {
    return _mm512_max_epu32(_mm512_castps_si512(a), _mm512_castps_si512(b));
  };
  const __m512i m =
      _mm512_max_epu32(larger(group.b[0], group.b[1]), larger(group.b[2], group.b[3]));
  if (_mm512_cmpge_epu32_mask(m, exponent)) return draw_one_by_one<kKind>(x, u);
  __m512i scale = _mm512_sub_epi32(_mm512_set1_epi32(0x7f000000), _mm512_and_si512(m, exponent));
  scale = _mm512_min_epu32(_mm512_max_epu32(scale, _mm512_set1_epi32(0x00800000)),
                           _mm512_set1_epi32(0x7e800000));
  for (__m512& b : group.b) b = _mm512_mul_ps(b, _mm512_castsi512_ps(scale));
  group.back = _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_set1_epi32(0x7f000000), scale));
  const Pair16 pair = draw<kKind>(group, u);
  const Placed16 words =
      place_words(pair, _mm512_castps_si512(pair.first), _mm512_castps_si512(pair.second));
  Groups16 drawn;
  for (int i = 0; i < 4; ++i) {
    const __m512i word = words.entry[i], sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    constexpr int kOrAnd = 0xf8;  // a | (b & c)
    drawn.entry[i] = _mm512_castsi512_ps(_mm512_maskz_ternarylogic_epi32(
        _mm512_test_epi32_mask(word, word), word, _mm512_castps_si512(x[i]), sign, kOrAnd));
  }
  return drawn;
}

// The draws for 16 columns of one group of tokens.
template <Mvue kKind, class T>
Groups16 draw_columns(const T* in, int64_t rows, int64_t columns, int64_t stride, __m512 u) {
  __m512 x[4];
  for (int64_t r = 0; r < 4; ++r) {
    x[r] = load_floats(in + r * stride, r < rows ? first_lanes(columns) : 0);
  }
  return draw16<kKind>(x, u);
}

// A lane holds two bfloat16 columns. The even and odd columns use a vector each; steps that only
// use exponents and signs handle both at once.
inline __m512 even_floats(__m512i words) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}
inline __m512i odd_words(__m512i words) {
  return _mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
}
inline __m512 odd_floats(__m512i words) { return _mm512_castsi512_ps(odd_words(words)); }

// Rounds a number that is not NaN to bfloat16 in the upper half; the lower half is undefined. Ties
// are rounded up first, so their last bit is cleared.
inline __m512i rounded_upper(__m512 value) {
  const __m512i up = _mm512_add_epi32(_mm512_castps_si512(value), _mm512_set1_epi32(0x8000));
  const __mmask16 tie = _mm512_testn_epi32_mask(up, _mm512_set1_epi32(0xffff));
  return _mm512_mask_and_epi32(up, tie, up, _mm512_set1_epi32(static_cast<int>(0xfffe0000u)));
}

// The pairs drawn from the even and the odd columns of x, rows of 32 columns. Returns false,
// without drawing, if an entry is not finite.
template <Mvue kKind>
bool draw_by_parity(const __m512i (&x)[4], const PhiloxLanes& numbers, Pair16 (&pairs)[2]) {
  const auto both = [](int bits) { return _mm512_set1_epi16(static_cast<int16_t>(bits)); };
  __m512i a[4];
  for (int r = 0; r < 4; ++r) a[r] = _mm512_and_si512(x[r], both(0x7fff));
  const __m512i m = _mm512_max_epu16(_mm512_max_epu16(a[0], a[1]), _mm512_max_epu16(a[2], a[3]));
  if (_mm512_cmpge_epu16_mask(m, both(0x7f80))) return false;
  __m512i scale = _mm512_sub_epi16(both(0x7f00), _mm512_and_si512(m, both(0x7f80)));
  scale = _mm512_min_epu16(_mm512_max_epu16(scale, both(0x0080)), both(0x7e80));
  const __m512i back = _mm512_sub_epi16(both(0x7f00), scale);
  const Uniforms32 u = uniforms_by_parity(numbers);
  Scaled16 even, odd;
  for (int r = 0; r < 4; ++r) {
    even.b[r] = _mm512_mul_ps(even_floats(a[r]), even_floats(scale));
    odd.b[r] = _mm512_mul_ps(odd_floats(a[r]), odd_floats(scale));
  }
  even.back = even_floats(back);
  odd.back = odd_floats(back);
  pairs[0] = draw<kKind>(even, u.part[0]);
  pairs[1] = draw<kKind>(odd, u.part[1]);
  return true;
}

// The estimates of 32 columns, with rows x. Returns false, without drawing, if an entry is not
// finite.
template <Mvue kKind>
bool draw32(const __m512i (&x)[4], const PhiloxLanes& numbers, __m512i (&drawn)[4]) {
  Pair16 pairs[2];
  if (!draw_by_parity<kKind>(x, numbers, pairs)) return false;
  const Placed16 low = place_words(pairs[0], _mm512_srli_epi32(rounded_upper(pairs[0].first), 16),
                                   _mm512_srli_epi32(rounded_upper(pairs[0].second), 16));
  const Placed16 high = place_words(pairs[1], odd_words(rounded_upper(pairs[1].first)),
                                    odd_words(rounded_upper(pairs[1].second)));
  for (int r = 0; r < 4; ++r) {
    const __m512i words = _mm512_or_si512(low.entry[r], high.entry[r]);
    const __mmask32 negative =
        _mm512_mask_test_epi16_mask(_mm512_movepi16_mask(x[r]), words, words);
    drawn[r] = _mm512_mask_add_epi16(words, negative, words,
                                     _mm512_set1_epi16(static_cast<int16_t>(0x8000)));
  }
  return true;
}

}  // namespace
}  // namespace twofour::kernels
