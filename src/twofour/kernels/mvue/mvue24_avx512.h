// MVUE of 16 groups at a time: the operations of group.h in the same order, so that the bits are
// the same. Groups are along tokens, vectors along features.
#pragma once

#include "twofour/kernels/group.h"
#include "twofour/kernels/products/many_tokens/panel24.h"
#include "twofour/kernels/simd/avx512.h"
#include "twofour/kernels/simd/lanes_memory.h"
#include "twofour/kernels/simd/philox_lanes.h"

namespace twofour::kernels {
namespace {

inline __m512 uniform(__m512i bits) {
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srli_epi32(bits, 8)), _mm512_set1_ps(0x1p-24f));
}

// Numbers of the 32 groups of eight blocks.
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

// DrawnPair of 16 groups.
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

// What the two entries become, where they stood; 0 elsewhere.
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

struct Drawn16 {
  __m512 entry[4];
};

template <Mvue kKind>
Drawn16 draw_one_by_one(const __m512 (&x)[4], __m512 u) {
  float in[4][16], uniform[16], out[4][16];
  for (int i = 0; i < 4; ++i) _mm512_storeu_ps(in[i], x[i]);
  _mm512_storeu_ps(uniform, u);
  for (int j = 0; j < 16; ++j) {
    float drawn[4];
    mvue24_group<kKind>({in[0][j], in[1][j], in[2][j], in[3][j]}, uniform[j], drawn);
    for (int i = 0; i < 4; ++i) out[i][j] = drawn[i];
  }
  Drawn16 result;
  for (int i = 0; i < 4; ++i) result.entry[i] = _mm512_loadu_ps(out[i]);
  return result;
}

template <Mvue kKind>
Drawn16 draw16(const __m512 (&x)[4], __m512 u) {
  const __m512i exponent = _mm512_set1_epi32(0x7f800000);
  Scaled16 group;
  for (int i = 0; i < 4; ++i) group.b[i] = _mm512_abs_ps(x[i]);
  // As integers, so that a NaN is the largest.
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
  Drawn16 drawn;
  for (int i = 0; i < 4; ++i) {
    const __m512i word = words.entry[i], sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    constexpr int kOrAnd = 0xf8;  // a | (b & c)
    drawn.entry[i] = _mm512_castsi512_ps(_mm512_maskz_ternarylogic_epi32(
        _mm512_test_epi32_mask(word, word), word, _mm512_castps_si512(x[i]), sign, kOrAnd));
  }
  return drawn;
}

// The draws of 16 columns of one group of tokens.
template <Mvue kKind, class T>
Drawn16 draw_columns(const T* in, int64_t rows, int64_t columns, int64_t stride, __m512 u) {
  __m512 x[4];
  for (int64_t r = 0; r < 4; ++r) {
    x[r] = load_floats(in + r * stride, r < rows ? first_lanes(columns) : 0);
  }
  return draw16<kKind>(x, u);
}

// 32 columns: those of eight Philox blocks.
template <Mvue kKind, class T>
void mvue32_in_order(const T* in, int64_t rows, int64_t columns, int64_t stride,
                     const PhiloxLanes& numbers, int64_t out_stride, T* out) {
  const Uniforms32 u = uniforms_in_order(numbers);
  for (int part = 0; part < 2 && 16 * part < columns; ++part) {
    const int64_t begin = 16 * part;
    const Drawn16 drawn =
        draw_columns<kKind>(in + begin, rows, columns - begin, stride, u.part[part]);
    for (int64_t r = 0; r < rows; ++r) {
      store_floats(drawn.entry[r], out + r * out_stride + begin, first_lanes(columns - begin));
    }
  }
}

// bfloat16 keep two columns in a lane: the even ones are treated in one vector, the odd ones in
// another, and the steps that look at exponents and signs only take both at once.
inline __m512 even_floats(__m512i words) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}
inline __m512i odd_words(__m512i words) {
  return _mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
}
inline __m512 odd_floats(__m512i words) { return _mm512_castsi512_ps(odd_words(words)); }

// Rounds a number that is no NaN to bfloat16 in the upper half; the lower half is undefined. A tie
// was rounded up: its last bit goes.
inline __m512i rounded_upper(__m512 value) {
  const __m512i up = _mm512_add_epi32(_mm512_castps_si512(value), _mm512_set1_epi32(0x8000));
  const __mmask16 tie = _mm512_testn_epi32_mask(up, _mm512_set1_epi32(0xffff));
  return _mm512_mask_and_epi32(up, tie, up, _mm512_set1_epi32(static_cast<int>(0xfffe0000u)));
}

// The pairs drawn from the even and from the odd columns of x, rows of 32 columns. False, and
// nothing is drawn, if an entry is not finite.
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

inline void load_bfloat16_rows(const bfloat16* in, int64_t rows, __mmask32 lanes, int64_t stride,
                               __m512i (&x)[4]) {
  for (int64_t r = 0; r < 4; ++r) {
    x[r] = _mm512_maskz_loadu_epi16(r < rows ? lanes : 0, in + r * stride);
  }
}

// The estimates of 32 columns, x rows of them. False, and nothing is drawn, if an entry is not
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

template <Mvue kKind>
void mvue32(const bfloat16* in, int64_t rows, int64_t columns, int64_t stride,
            const PhiloxLanes& numbers, int64_t out_stride, bfloat16* out) {
  const __mmask32 lanes = first_of_32_lanes(columns);
  __m512i x[4], drawn[4];
  prefetch_columns_ahead<32>(in, rows, stride);
  load_bfloat16_rows(in, rows, lanes, stride, x);
  if (!draw32<kKind>(x, numbers, drawn)) {
    mvue32_in_order<kKind>(in, rows, columns, stride, numbers, out_stride, out);
    return;
  }
  for (int64_t r = 0; r < rows; ++r) {
    _mm512_mask_storeu_epi16(out + r * out_stride, lanes, drawn[r]);
  }
}

template <Mvue kKind, class T>
void mvue32(const T* in, int64_t rows, int64_t columns, int64_t stride, const PhiloxLanes& numbers,
            int64_t out_stride, T* out) {
  prefetch_columns_ahead<32>(in, rows, stride);
  mvue32_in_order<kKind>(in, rows, columns, stride, numbers, out_stride, out);
}

template <class T, Mvue kKind>
void mvue_rows_avx512(const T* in, int64_t rows, int64_t columns, int64_t stride,
                      const RandomStream& stream, uint32_t first_group, T* out) {
  const PhiloxRounds rounds(stream);
  for (int64_t begin = 0; begin < columns; begin += 32) {
    const PhiloxLanes numbers = philox8(rounds, (first_group + static_cast<uint32_t>(begin)) / 4);
    mvue32<kKind>(in + begin, rows, columns - begin, stride, numbers, columns, out + begin);
  }
}

// Rounded to T, as float32.
inline __m512i rounded_words(__m512 value, float) { return _mm512_castps_si512(value); }
inline __m512i rounded_words(__m512 value, bfloat16) {
  return _mm512_slli_epi32(_mm512_cvtepu16_epi32(round_to_bfloat16(value)), 16);
}
inline __m512i rounded_words(__m512 value, float16) {
  return _mm512_castps_si512(_mm512_cvtph_ps(_mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT)));
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

// What a group of 16 or 32 rows keeps: two entries and where they stood.
struct Kept {
  __m512i one, two, first, second;
};

// Which of four entries the two are, of as many rows as Mask has bits: the first is 0, 1 or else 2,
// the second 3, 2 or else 1.
template <class Mask>
struct KeptPlaces {
  explicit KeptPlaces(const Mask (&kept)[4])
      : first0(kept[0]),
        first1(static_cast<Mask>(kept[1] & ~first0)),
        second3(static_cast<Mask>(kept[3] | ~(first0 | first1))),
        second2(static_cast<Mask>(~second3 & (kept[2] | first1))) {}
  Mask first0, first1, second3, second2;
};

// The same of 32 rows of bfloat16, entry i of each.
inline Kept kept_of_32_rows(const __m512i (&entry)[4]) {
  const auto number = [](int i) { return _mm512_set1_epi16(static_cast<int16_t>(i)); };
  const auto either = [](__mmask32 first, __m512i a, __m512i b) {
    return _mm512_mask_blend_epi16(first, b, a);
  };
  __mmask32 kept[4];
  for (int i = 0; i < 4; ++i) kept[i] = _mm512_test_epi16_mask(entry[i], number(0x7fff));
  const KeptPlaces<__mmask32> at(kept);
  return {either(at.first0, entry[0], either(at.first1, entry[1], entry[2])),
          either(at.second3, entry[3], either(at.second2, entry[2], entry[1])),
          either(at.first0, number(0), either(at.first1, number(1), number(2))),
          either(at.second3, number(3), either(at.second2, number(2), number(1)))};
}

// Of 16 rows, places_of_pair; the entries rounded to T, as float32.
template <class T>
Kept kept_of_16_rows(const Drawn16& drawn) {
  const auto number = [](int i) { return _mm512_set1_epi32(i); };
  const auto either = [](__mmask16 first, __m512i a, __m512i b) {
    return _mm512_mask_mov_epi32(b, first, a);
  };
  __mmask16 kept[4];
  __m512i entry[4];
  for (int i = 0; i < 4; ++i) {
    kept[i] = _mm512_cmp_ps_mask(drawn.entry[i], _mm512_setzero_ps(), _CMP_NEQ_UQ);
    entry[i] = _mm512_castps_si512(drawn.entry[i]);
  }
  const KeptPlaces<__mmask16> at(kept);
  const __m512i one = either(at.first0, entry[0], either(at.first1, entry[1], entry[2]));
  const __m512i two = either(at.second3, entry[3], either(at.second2, entry[2], entry[1]));
  return {rounded_words(_mm512_castsi512_ps(one), T{}),
          rounded_words(_mm512_castsi512_ps(two), T{}),
          either(at.first0, number(0), either(at.first1, number(1), number(2))),
          either(at.second3, number(3), either(at.second2, number(2), number(1)))};
}

// A strip's chunk, filled group by group from its first one on.
class ChunkWriter {
 public:
  explicit ChunkWriter(std::byte* chunk) : chunk_(chunk) {}
  ~ChunkWriter() { _mm512_store_si512(chunk_ + kChunkWordBytes, positions_); }

  // A group of 16 rows whose entries are float32.
  void add_floats(const Kept& group) {
    const __m512i column = _mm512_set1_epi32(static_cast<int>(2 * step_));
    add_step(group.one, _mm512_or_si512(group.first, column), 4);
    add_step(group.two, _mm512_or_si512(group.second, column), 4);
  }
  // The same as pairs of bfloat16, which the entries have been rounded to.
  void add_as_pairs(const Kept& group) {
    add_pairs(_mm512_or_si512(_mm512_srli_epi32(group.one, 16), group.two),
              _mm512_or_si512(group.first, _mm512_slli_epi32(group.second, 16)));
  }
  void add_pairs(__m512i words, __m512i positions) { add_step(words, positions, 2); }

 private:
  void add_step(__m512i words, __m512i positions, int64_t bits) {
    _mm512_store_si512(chunk_ + 64 * step_, words);
    positions_ =
        _mm512_or_si512(positions_, _mm512_sll_epi32(positions, _mm_cvtsi64_si128(bits * step_)));
    ++step_;
  }

  std::byte* chunk_;
  int64_t step_ = 0;
  __m512i positions_ = _mm512_setzero_si512();
};

// Chunk `chunk` of the 32 rows from `row` on: two strips, the second of which may not be there.
class ChunkPair {
 public:
  ChunkPair(Panel24& panel, int64_t row, int64_t chunk)
      : first_(panel.chunk(row / kStripRows, chunk)),
        second_(row / kStripRows + 1 < panel.strips() ? panel.chunk(row / kStripRows + 1, chunk)
                                                      : unused_) {}

  ChunkWriter& operator[](int64_t part) { return part == 0 ? first_ : second_; }
  // A group of 32 rows of bfloat16.
  void add(const Kept& group) {
    first_.add_pairs(side_by_side(group.one, group.two, false),
                     side_by_side(group.first, group.second, false));
    second_.add_pairs(side_by_side(group.one, group.two, true),
                      side_by_side(group.first, group.second, true));
  }

 private:
  // a and b of a row in one word, the first or the last 16 rows.
  static __m512i side_by_side(__m512i a, __m512i b, bool last) {
    const __m512i order = last ? _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15)
                               : _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    return _mm512_permutex2var_epi64(_mm512_unpacklo_epi16(a, b), order,
                                     _mm512_unpackhi_epi16(a, b));
  }

  alignas(64) std::byte unused_[kChunkBytes];
  ChunkWriter first_, second_;
};

// store_group of 16 rows, of a panel of quads.
inline void store_in_quads(const Kept& group, int64_t row, int64_t g, int64_t block,
                           Panel24& panel) {
  const int64_t quad = row / kQuad, left = panel.quads() - quad, quads = left < 4 ? left : 4;
  store_quads(group.one, _mm512_slli_epi32(group.first, 8), 2 * g, quad, quads, block, panel);
  store_quads(group.two, _mm512_slli_epi32(group.second, 8), 2 * g + 1, quad, quads, block, panel);
}

// Calls use(part, kept) for the first and the second 16 of 32 columns.
template <class T, class Use>
void draw_group32(const T* in, int64_t tokens, int64_t columns, int64_t stride,
                  const PhiloxLanes& numbers, Use&& use) {
  const Uniforms32 u = uniforms_in_order(numbers);
  for (int64_t part = 0; part < 2 && 16 * part < columns; ++part) {
    const int64_t begin = 16 * part;
    const Drawn16 drawn =
        draw_columns<Mvue::kApproximate>(in + begin, tokens, columns - begin, stride, u.part[part]);
    use(part, kept_of_16_rows<T>(drawn));
  }
}

template <class T>
void draw_in_chunks(const T* in, int64_t tokens, int64_t columns, int64_t stride,
                    const PhiloxLanes& numbers, ChunkPair& chunks) {
  draw_group32(in, tokens, columns, stride, numbers,
               [&](int64_t part, const Kept& kept) { chunks[part].add_floats(kept); });
}
// With all 32 columns at once, where they are finite.
inline void draw_in_chunks(const bfloat16* in, int64_t tokens, int64_t columns, int64_t stride,
                           const PhiloxLanes& numbers, ChunkPair& chunks) {
  __m512i x[4], drawn[4];
  load_bfloat16_rows(in, tokens, first_of_32_lanes(columns), stride, x);
  if (draw32<Mvue::kApproximate>(x, numbers, drawn)) {
    chunks.add(kept_of_32_rows(drawn));
  } else {
    draw_group32(in, tokens, columns, stride, numbers,
                 [&](int64_t part, const Kept& kept) { chunks[part].add_as_pairs(kept); });
  }
}

// Group g of a block has number first_group + g * group_stride.
template <class T>
void mvue_block_avx512(const T* in, int64_t tokens, int64_t stride, const RandomStream& stream,
                       uint32_t first_group, uint32_t group_stride, int64_t block, Panel24& panel) {
  const PhiloxRounds rounds(stream);
  const int64_t groups = (tokens + 3) / 4;
  const auto numbers_of = [&](int64_t g, int64_t row) {
    const uint32_t number = first_group + static_cast<uint32_t>(g) * group_stride;
    return philox8(rounds, (number + static_cast<uint32_t>(row)) / 4);
  };
  if (!has_strips(panel.kind())) {
    for (int64_t row = 0; row < panel.rows(); row += 32) {
      for (int64_t g = 0; g < groups; ++g) {  // inside, so that whole lines of a quad are written
        draw_group32(in + 4 * g * stride + row, tokens - 4 * g, panel.rows() - row, stride,
                     numbers_of(g, row), [&](int64_t part, const Kept& kept) {
                       store_in_quads(kept, row + 16 * part, g, block, panel);
                     });
      }
    }
    return;
  }
  const int64_t of_chunk = columns_of_chunk(panel.kind()) / 4;
  for (int64_t first = 0; first < groups; first += of_chunk) {
    const int64_t last = first + of_chunk < groups ? first + of_chunk : groups;
    for (int64_t row = 0; row < panel.rows(); row += 32) {
      ChunkPair chunks(panel, row, (block * kBlockGroups + first) / of_chunk);
      for (int64_t g = first; g < last; ++g) {
        const T* const from = in + 4 * g * stride + row;
        const int64_t left = tokens - 4 * g;
        prefetch_columns_ahead<32>(from, left, stride);
        draw_in_chunks(from, left, panel.rows() - row, stride, numbers_of(g, row), chunks);
      }
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
