#include <type_traits>
#include <utility>

#include "twofour/kernels/panel24_fill_avx512.h"
#include "twofour/kernels/product24_store_avx512.h"
#include "twofour/kernels/strips24.h"

namespace twofour::kernels {
namespace {

// What a step does with a word of each of 16 rows.
struct Pairs {  // a group: both kept bfloat16
  static constexpr int64_t kColumns = columns_of_chunk(PanelKind::kBfloat16Strips);
  // The permutation reads five bits: two of the position, three of the group.
  static __m512i places(__m512i positions, int step) {
    constexpr int kAndOr = 0xea;  // (a & b) | c
    return _mm512_ternarylogic_epi32(_mm512_srli_epi16(positions, 2 * step), _mm512_set1_epi16(3),
                                     _mm512_set1_epi16(static_cast<int16_t>(4 * step)), kAndOr);
  }
  static __m512 multiply_add(__m512i word, __m512i places, __m512i x, __m512 sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(word),
                            reinterpret_cast<__m512bh>(_mm512_permutexvar_epi16(places, x)));
  }
};

struct Floats {  // half a group: one kept value
  static constexpr int64_t kColumns = columns_of_chunk(PanelKind::kFloatStrips);
  // The permutation reads four bits.
  static __m512i places(__m512i positions, int step) {
    return _mm512_srli_epi32(positions, 4 * step);
  }
  static __m512 multiply_add(__m512i word, __m512i places, __m512i x, __m512 sum) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(word),
                           _mm512_permutexvar_ps(places, _mm512_castsi512_ps(x)), sum);
  }
};

template <class T>
using StepOf = std::conditional_t<std::is_same_v<T, bfloat16>, Pairs, Floats>;

// Columns of one token, as many as a chunk has.
inline __m512i load_line(const bfloat16* x, int64_t columns) {
  return _mm512_maskz_loadu_epi16(first_of_32_lanes(columns), x);
}
template <class T>
__m512i load_line(const T* x, int64_t columns) {
  return _mm512_castps_si512(load_floats(x, first_lanes(columns)));
}

template <class T>
void pack_rows(const T* x, int64_t tokens, int64_t columns, int64_t stride, std::byte* out) {
  constexpr int64_t kColumns = StepOf<T>::kColumns;
  for (int64_t t = 0; t < tokens; ++t) {
    std::byte* line = out + t * kLineBytes;
    for (int64_t c = 0; c < columns; c += kColumns, line += tokens * kLineBytes) {
      _mm512_store_si512(line, load_line(x + t * stride + c, columns - c));
    }
  }
}

// Word i of 16 columns: what rows 2i and 2i + 1, or row i, hold there.
inline __m512i load_words(const bfloat16* x, int64_t i, int64_t rows, int64_t stride,
                          __mmask16 columns) {
  const auto row = [&](int64_t r) {
    return _mm512_cvtepu16_epi32(r < rows ? _mm256_maskz_loadu_epi16(columns, x + r * stride)
                                          : _mm256_setzero_si256());
  };
  return _mm512_or_si512(row(2 * i), _mm512_slli_epi32(row(2 * i + 1), 16));
}
template <class T>
__m512i load_words(const T* x, int64_t i, int64_t rows, int64_t stride, __mmask16 columns) {
  return i < rows ? _mm512_castps_si512(load_floats(x + i * stride, columns))
                  : _mm512_setzero_si512();
}

template <class T>
void pack_columns(const T* x, int64_t rows, int64_t width, int64_t stride, std::byte* out) {
  constexpr int64_t kRows = StepOf<T>::kColumns;
  const __mmask16 mask = first_lanes(width);
  for (int64_t r = 0; r < rows; r += kRows, out += width * kLineBytes) {
    __m512i words[16];
    for (int64_t i = 0; i < 16; ++i) {
      words[i] = load_words(x + r * stride, i, rows - r, stride, mask);
    }
    transpose16(words);
    for (int64_t n = 0; n < width; ++n) _mm512_store_si512(out + n * kLineBytes, words[n]);
  }
}

// sums [kStrips, kTokens, 16] = strips `strip` and after times the tokens of x.
template <class Step, int kStrips, int kTokens>
void sum_strips(const Panel24& a, int64_t strip, const std::byte* x, float* sums) {
  __m512 sum[kStrips][kTokens];
  for (auto& of_strip : sum) {
    for (__m512& s : of_strip) s = _mm512_setzero_ps();
  }
  const std::byte* chunk = a.chunk(strip, 0);
  const int64_t strip_bytes = a.strip_bytes();
  for (int64_t left = a.chunks(); left > 0; --left) {
    __m512i line[kTokens], positions[kStrips];
    for (int t = 0; t < kTokens; ++t) line[t] = _mm512_load_si512(x + t * kLineBytes);
    for (int r = 0; r < kStrips; ++r) {
      positions[r] = _mm512_load_si512(chunk + r * strip_bytes + kChunkWordBytes);
    }
#pragma GCC unroll 8
    for (int step = 0; step < kChunkSteps; ++step) {
#pragma GCC unroll 8
      for (int r = 0; r < kStrips; ++r) {
        const __m512i word = _mm512_load_si512(chunk + r * strip_bytes + step * kLineBytes);
        const __m512i places = Step::places(positions[r], step);
#pragma GCC unroll 16
        for (int t = 0; t < kTokens; ++t) {
          sum[r][t] = Step::multiply_add(word, places, line[t], sum[r][t]);
        }
      }
    }
    chunk += kChunkBytes;
    x += kTokens * kLineBytes;
  }
  for (auto& of_strip : sum) {
    for (__m512& s : of_strip) {
      _mm512_store_ps(sums, s);
      sums += kStripRows;
    }
  }
}

// How a number of tokens is summed: with several strips at once, where the sums of one are too few
// for none to wait for the multiply-add before it, and with one.
struct Sums {
  using Function = void (*)(const Panel24& a, int64_t strip, const std::byte* x, float* sums);
  int64_t strips;
  Function several, one;
};

constexpr int strips_at_once(int tokens) { return tokens >= 9 ? 1 : tokens >= 5 ? 2 : 4; }

template <class Step, size_t... kIndex>
Sums sums_of(int64_t tokens, std::index_sequence<kIndex...>) {
  static constexpr Sums kOfTokens[] = {{strips_at_once(kIndex + 1),
                                        sum_strips<Step, strips_at_once(kIndex + 1), kIndex + 1>,
                                        sum_strips<Step, 1, kIndex + 1>}...};
  return kOfTokens[tokens - 1];
}

// use(strip, sums [tokens, 16]) for the strips first to last - 1.
template <class Step, class Use>
void for_strips(const Panel24& a, int64_t first, int64_t last, const std::byte* x, int64_t tokens,
                Use&& use) {
  const Sums sums = sums_of<Step>(tokens, std::make_index_sequence<kStripTokens>());
  alignas(64) float memory[kStripTokens * kStripRows];  // strips times tokens are 16 at most
  while (first < last) {
    const bool several = first + sums.strips <= last;
    (several ? sums.several : sums.one)(a, first, x, memory);
    const int64_t count = several ? sums.strips : 1;
    for (int64_t r = 0; r < count; ++r) use(first + r, memory + r * tokens * kStripRows);
    first += count;
  }
}

template <class T>
void multiply(const Panel24& a, int64_t first, int64_t last, const std::byte* x, int64_t tokens,
              T* y, int64_t stride, const Epilogue<T>& epilogue) {
  for_strips<StepOf<T>>(a, first, last, x, tokens, [&](int64_t strip, const float* sums) {
    const int64_t row = strip * kStripRows;
    const __mmask16 mask = first_lanes(a.rows() - row);
    const __m512 bias =
        epilogue.bias ? load_floats(epilogue.bias + row, mask) : _mm512_setzero_ps();
    for (int64_t t = 0; t < tokens; ++t) {
      const __m512 z = _mm512_add_ps(_mm512_load_ps(sums + t * kStripRows), bias);
      const __m512 other = epilogue.other
                               ? load_floats(epilogue.other + t * epilogue.other_stride + row, mask)
                               : _mm512_setzero_ps();
      store_floats(activate16(z, epilogue.activation, other), y + t * stride + row, mask);
    }
  });
}

template <class T>
void multiply_add(const Panel24& a, int64_t first, int64_t last, const std::byte* x, int64_t width,
                  float* y, int64_t stride) {
  const __mmask16 mask = first_lanes(width);
  for_strips<StepOf<T>>(a, first, last, x, width, [&](int64_t strip, const float* sums) {
    __m512i block[16];
    for (int64_t n = 0; n < 16; ++n) {
      block[n] = _mm512_maskz_load_epi32(n < width ? 0xffff : 0, sums + n * kStripRows);
    }
    transpose16(block);
    float* out = y + strip * kStripRows * stride;
    const int64_t rows = a.rows() - strip * kStripRows;
    for (int64_t r = 0; r < kStripRows && r < rows; ++r, out += stride) {
      const __m512 before = _mm512_maskz_loadu_ps(mask, out);
      _mm512_mask_storeu_ps(out, mask, _mm512_add_ps(before, _mm512_castsi512_ps(block[r])));
    }
  });
}

template <class T>
bool fill_strip(const T* weight, int64_t stride, int64_t strip, Panel24& panel) {
  return fill_strip_avx512(weight, stride, strip * kStripRows, panel);
}

template <class T>
bool fill_strip_transposed(const T* weight, int64_t stride, int64_t strip, Panel24& panel) {
  return fill_strip_transposed_avx512(weight, stride, strip * kStripRows, panel);
}

template <class T>
constexpr StripLoops<T> kLoops = {pack_rows<T>,    pack_columns<T>, multiply<T>,
                                  multiply_add<T>, fill_strip<T>,   fill_strip_transposed<T>};

}  // namespace

template <>
const StripLoops<float>& strip_loops() {
  return kLoops<float>;
}

template <>
const StripLoops<bfloat16>& strip_loops() {
  return kLoops<bfloat16>;
}

template <>
const StripLoops<float16>& strip_loops() {
  return kLoops<float16>;
}

}  // namespace twofour::kernels
