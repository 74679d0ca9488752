// MVUE of 16 groups at a time: the operations of group.h in the same order, so that the bits are
// the same. Groups are along tokens, vectors along features.
#pragma once

#include "twofour/kernels/avx512.h"
#include "twofour/kernels/group.h"
#include "twofour/kernels/lanes_memory.h"
#include "twofour/kernels/panel24.h"
#include "twofour/kernels/philox_lanes.h"

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
  for (int64_t r = 0; r < rows && r < 4; ++r) prefetch_ahead(in + r * stride);
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

// Sets word `step` of a strip's chunk, and the positions' bits of that step. Steps come in order.
inline void store_step(__m512i words, __m512i positions, int64_t step, std::byte* chunk) {
  _mm512_store_si512(chunk + 64 * step, words);
  std::byte* const all = chunk + kChunkWordBytes;
  if (step > 0) positions = _mm512_or_si512(positions, _mm512_load_si512(all));
  _mm512_store_si512(all, positions);
}

// Group `group` of 32 rows of bfloat16, two strips of which the second may not be there: entry i of
// each. The rows, one a bit, that keep more than two, of which what is written is undefined.
inline __mmask32 store_group_of_32_rows(const __m512i (&entry)[4], int64_t row, int64_t group,
                                        Panel24& panel) {
  const auto number = [](int i) { return _mm512_set1_epi16(static_cast<int16_t>(i)); };
  const auto either = [](__mmask32 first, __m512i a, __m512i b) {
    return _mm512_mask_blend_epi16(first, b, a);
  };
  __mmask32 kept[4];
  for (int i = 0; i < 4; ++i) kept[i] = _mm512_test_epi16_mask(entry[i], number(0x7fff));
  const __mmask32 first0 = kept[0], first1 = kept[1] & ~first0, first2 = ~(first0 | first1);
  const __mmask32 second3 = kept[3] | first2, second2 = ~second3 & (kept[2] | first1);
  const __m512i one = either(first0, entry[0], either(first1, entry[1], entry[2]));
  const __m512i two = either(second3, entry[3], either(second2, entry[2], entry[1]));
  const __m512i first = either(first0, number(0), either(first1, number(1), number(2)));
  const __m512i second = either(second3, number(3), either(second2, number(2), number(1)));
  // Words of a row side by side, rows in order.
  const auto rows = [&](__m512i a, __m512i b, bool last) {
    const __m512i low = _mm512_unpacklo_epi16(a, b), high = _mm512_unpackhi_epi16(a, b);
    return _mm512_permutex2var_epi64(low,
                                     last ? _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15)
                                          : _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                                     high);
  };
  const int64_t step = group % kChunkSteps, strip = row / kStripRows;
  for (int64_t part = 0; part < 2 && strip + part < panel.strips(); ++part) {
    const __m512i positions =
        _mm512_sll_epi32(rows(first, second, part != 0), _mm_cvtsi64_si128(2 * step));
    store_step(rows(one, two, part != 0), positions, step,
               panel.chunk(strip + part, group / kChunkSteps));
  }
  const __mmask32 both = kept[0] & kept[1], others = kept[2] & kept[3];
  return (both & (kept[2] | kept[3])) | (others & (kept[0] | kept[1]));
}

// places_of_pair and store_group of 16 rows.
template <class T>
void store_drawn(const Drawn16& drawn, int64_t row, int64_t g, int64_t block, Panel24& panel) {
  __mmask16 kept[4];
  for (int i = 0; i < 4; ++i) {
    kept[i] = _mm512_cmp_ps_mask(drawn.entry[i], _mm512_setzero_ps(), _CMP_NEQ_UQ);
  }
  const auto number = [](int64_t i) { return _mm512_set1_epi32(static_cast<int>(i)); };
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
  const auto shifted = [&](__m512i value, int64_t bits) {
    return _mm512_sllv_epi32(value, number(bits));
  };
  const int64_t group = block * kBlockGroups + g;
  if (panel.kind() == PanelKind::kBfloat16Strips) {
    const int64_t step = group % kChunkSteps;
    store_step(_mm512_or_si512(_mm512_srli_epi32(low, 16), high),
               shifted(_mm512_or_si512(first, _mm512_slli_epi32(second, 16)), 2 * step), step,
               panel.chunk(row / kStripRows, group / kChunkSteps));
  } else if (panel.kind() == PanelKind::kFloatStrips) {
    const int64_t of_chunk = group % (kChunkSteps / 2), step = 2 * of_chunk;
    std::byte* const chunk = panel.chunk(row / kStripRows, group / (kChunkSteps / 2));
    const auto column = [&](__m512i position) {
      return _mm512_or_si512(position, number(4 * of_chunk));
    };
    store_step(low, shifted(column(first), 4 * step), step, chunk);
    store_step(high, shifted(column(second), 4 * (step + 1)), step + 1, chunk);
  } else {
    const int64_t quad = row / kQuad, left = panel.quads() - quad, quads = left < 4 ? left : 4;
    store_quads(low, _mm512_slli_epi32(first, 8), 2 * g, quad, quads, block, panel);
    store_quads(high, _mm512_slli_epi32(second, 8), 2 * g + 1, quad, quads, block, panel);
  }
}

template <class T>
void draw_group32(const T* in, int64_t tokens, int64_t columns, int64_t stride,
                  const PhiloxLanes& numbers, int64_t row, int64_t g, int64_t block,
                  Panel24& panel) {
  const Uniforms32 u = uniforms_in_order(numbers);
  for (int64_t part = 0; part < 2 && 16 * part < columns; ++part) {
    const int64_t begin = 16 * part;
    const Drawn16 drawn =
        draw_columns<Mvue::kApproximate>(in + begin, tokens, columns - begin, stride, u.part[part]);
    store_drawn<T>(drawn, row + begin, g, block, panel);
  }
}

// The same with all 32 columns at once, where that can be.
template <class T>
bool draw_group_of_strips(const T*, int64_t, int64_t, int64_t, const PhiloxLanes&, int64_t, int64_t,
                          Panel24&) {
  return false;
}
inline bool draw_group_of_strips(const bfloat16* in, int64_t tokens, int64_t columns,
                                 int64_t stride, const PhiloxLanes& numbers, int64_t row,
                                 int64_t group, Panel24& panel) {
  if (panel.kind() != PanelKind::kBfloat16Strips) return false;
  __m512i x[4], drawn[4];
  for (int64_t r = 0; r < tokens && r < 4; ++r) prefetch_ahead(in + r * stride);
  load_bfloat16_rows(in, tokens, first_of_32_lanes(columns), stride, x);
  if (!draw32<Mvue::kApproximate>(x, numbers, drawn)) return false;
  store_group_of_32_rows(drawn, row, group, panel);
  return true;
}

template <class T>
void mvue_block_avx512(const T* in, int64_t tokens, int64_t stride, const RandomStream& stream,
                       uint32_t first_group, uint32_t group_stride, int64_t block, Panel24& panel) {
  const PhiloxRounds rounds(stream);
  for (int64_t row = 0; row < panel.rows(); row += 32) {
    for (int64_t g = 0; 4 * g < tokens; ++g) {  // inside, so that whole lines of a quad are written
      const uint32_t number = first_group + static_cast<uint32_t>(g) * group_stride;
      const PhiloxLanes numbers = philox8(rounds, (number + static_cast<uint32_t>(row)) / 4);
      const T* const from = in + 4 * g * stride + row;
      const int64_t left = tokens - 4 * g, columns = panel.rows() - row;
      if (!draw_group_of_strips(from, left, columns, stride, numbers, row, block * kBlockGroups + g,
                                panel)) {
        draw_group32(from, left, columns, stride, numbers, row, g, block, panel);
      }
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
