#include <algorithm>
#include <utility>

#include "twofour/kernels/products/lines24_avx512.h"
#include "twofour/kernels/products/many_tokens/panel24_fill_avx512.h"
#include "twofour/kernels/products/many_tokens/product24_store_avx512.h"
#include "twofour/kernels/products/many_tokens/strips/strips24.h"

namespace twofour::kernels {
namespace {

// The columns of the words of step i of a chunk: the indices of multiply_add.
template <class T>
__m512i places_of(__m512i positions, int step) {
  return _mm512_srli_epi32(positions, 4 * step);
}
template <>
__m512i places_of<bfloat16>(__m512i positions, int step) {
  return _mm512_ternarylogic_epi32(_mm512_srli_epi16(positions, 2 * step), _mm512_set1_epi16(3),
                                   _mm512_set1_epi16(static_cast<int16_t>(4 * step)), kAndThenOr);
}

// Word i of 16 columns: the entries of rows 2i and 2i + 1, or of row i.
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
  constexpr int64_t kRows = LineOf<T>::kColumns;
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

// sums [kStrips, kTokens, 16] of the first strips of the operands.
template <class T, int kStrips, int kTokens>
void sum_strips(const StripOperands& o, bool starts, float* sums) {
  __m512 sum[kStrips][kTokens];
  for (int r = 0; r < kStrips; ++r) {
    for (int t = 0; t < kTokens; ++t) {
      sum[r][t] = _mm512_setzero_ps();
      if (!starts) _mm_prefetch(sums + (r * kTokens + t) * kStripRows, _MM_HINT_T0);
    }
  }
  const std::byte *chunk = o.chunks, *next = o.next, *x = o.x;
  const char* target = static_cast<const char*>(o.target.lines);
  for (int64_t left = o.chunk_count; left > 0; --left) {
    __m512i line[kTokens], positions[kStrips];
    for (int t = 0; t < kTokens; ++t) line[t] = _mm512_load_si512(x + t * kLineBytes);
    for (int r = 0; r < kStrips; ++r) {
      positions[r] = _mm512_load_si512(chunk + r * o.strip_bytes + kChunkWordBytes);
      for (int64_t byte = 0; byte < kChunkBytes; byte += kLineBytes) {
        _mm_prefetch(next + r * o.strip_bytes + byte, _MM_HINT_T1);
      }
    }
    _mm_prefetch(target, _MM_HINT_T0);
    target += o.target.line_bytes;
#pragma GCC unroll 8
    for (int step = 0; step < kChunkSteps; ++step) {
#pragma GCC unroll 8
      for (int r = 0; r < kStrips; ++r) {
        const __m512i word = _mm512_load_si512(chunk + r * o.strip_bytes + step * kLineBytes);
        const __m512i places = places_of<T>(positions[r], step);
#pragma GCC unroll 16
        for (int t = 0; t < kTokens; ++t) {
          sum[r][t] = LineOf<T>::multiply_add(word, places, line[t], sum[r][t]);
        }
      }
    }
    chunk += kChunkBytes;
    next += kChunkBytes;
    x += kTokens * kLineBytes;
  }
  for (int r = 0; r < kStrips; ++r) {
    for (int t = 0; t < kTokens; ++t) {
      float* const out = sums + (r * kTokens + t) * kStripRows;
      _mm512_store_ps(out, starts ? sum[r][t] : _mm512_add_ps(_mm512_load_ps(out), sum[r][t]));
    }
  }
}

// The functions that sum a number of tokens: with one strip, and with several at once, for too few
// tokens to hide the latency of multiply-adds with one.
struct Sums {
  using Function = void (*)(const StripOperands& operands, bool starts, float* sums);
  int64_t strips;
  Function several, one;
};

constexpr int strips_at_once(int tokens) { return tokens >= 7 ? 1 : tokens >= 4 ? 2 : 4; }

template <class T, size_t... kIndex>
const Sums& sums_of(int64_t tokens, std::index_sequence<kIndex...>) {
  static constexpr Sums kOfTokens[] = {{strips_at_once(kIndex + 1),
                                        sum_strips<T, strips_at_once(kIndex + 1), kIndex + 1>,
                                        sum_strips<T, 1, kIndex + 1>}...};
  return kOfTokens[tokens - 1];
}

template <class T>
void multiply(const StripOperands& operands, bool starts, float* sums) {
  const Sums& how = sums_of<T>(operands.tokens, std::make_index_sequence<kStripTokens>());
  StripOperands left = operands;
  while (left.strips > 0) {
    const int64_t count = left.strips >= how.strips ? how.strips : 1;
    left.next = left.strips > count ? left.chunks + count * left.strip_bytes : operands.next;
    (count == how.strips ? how.several : how.one)(left, starts, sums);
    left.target.lines =
        static_cast<const char*>(left.target.lines) + count * left.target.strip_bytes;
    left.chunks += count * left.strip_bytes;
    left.strips -= count;
    sums += count * left.tokens * kStripRows;
  }
}

template <class T>
void store(const StripSums& sums, T* y, int64_t stride, const T* bias_of_rows) {
  const float* z = sums.sums;
  for (int64_t row = 0; row < sums.rows; row += kStripRows) {
    const __mmask16 mask = first_lanes(sums.rows - row);
    const __m512 bias = bias_of_rows ? load_floats(bias_of_rows + row, mask) : _mm512_setzero_ps();
    for (int64_t t = 0; t < sums.tokens; ++t, z += kStripRows) {
      store_floats(_mm512_add_ps(_mm512_load_ps(z), bias), y + t * stride + row, mask);
    }
  }
}

inline void add(const StripSums& sums, float* y, int64_t stride) {
  const __mmask16 mask = first_lanes(sums.tokens);
  const float* z = sums.sums;
  for (int64_t row = 0; row < sums.rows; row += kStripRows) {
    __m512i block[16];
    for (int64_t n = 0; n < 16; ++n) {
      block[n] = n < sums.tokens ? _mm512_load_si512(z + n * kStripRows) : _mm512_setzero_si512();
    }
    transpose16(block);
    z += sums.tokens * kStripRows;
    for (int64_t r = 0; r < kStripRows && row + r < sums.rows; ++r, y += stride) {
      const __m512 before = _mm512_maskz_loadu_ps(mask, y);
      _mm512_mask_storeu_ps(y, mask, _mm512_add_ps(before, _mm512_castsi512_ps(block[r])));
    }
  }
}

template <class T>
bool fill_strip(const T* weight, int64_t stride, int64_t strip, Panel24& panel) {
  constexpr int64_t kColumns = LineOf<T>::kColumns;
  bool good = true;
  for (int64_t chunk = 0; chunk < panel.chunks(); ++chunk) {
    ChunkWriter writer(panel.chunk(strip, chunk));
    const int64_t column = chunk * kColumns;
    for_groups_of_rows(weight + column, stride, strip * kStripRows, panel.rows(),
                       std::min(kColumns, panel.columns() - column),
                       [&](int64_t, const Groups16& group) {
                         writer.add_floats(kept_of_16_rows<T>(group));
                         good &= is_24(group);
                       });
  }
  return good;
}

// Adds a group of 16 rows, two columns a word. Returns false if a row keeps more than two.
inline bool add_group_of_words(__m512i columns01, __m512i columns23, ChunkWriter& writer) {
  const auto number = [](uint32_t i) { return _mm512_set1_epi32(static_cast<int>(i)); };
  const __m512i low = number(0xffff), high = number(0xffff0000);
  const __mmask16 kept[4] = {_mm512_test_epi32_mask(columns01, number(0x7fff)),
                             _mm512_test_epi32_mask(columns01, number(0x7fff0000)),
                             _mm512_test_epi32_mask(columns23, number(0x7fff)),
                             _mm512_test_epi32_mask(columns23, number(0x7fff0000))};
  const KeptPlaces<__mmask16> at(kept);
  __m512i one = _mm512_and_si512(columns23, low), two = _mm512_and_si512(columns01, high);
  one = _mm512_mask_srli_epi32(one, at.first1, columns01, 16);
  one = _mm512_mask_and_epi32(one, at.first0, columns01, low);
  two = _mm512_mask_slli_epi32(two, at.second2, columns23, 16);
  two = _mm512_mask_and_epi32(two, at.second3, columns23, high);
  __m512i first = _mm512_mask_mov_epi32(number(2), at.first1, number(1));
  first = _mm512_mask_mov_epi32(first, at.first0, number(0));
  __m512i second = _mm512_mask_mov_epi32(number(1U << 16), at.second2, number(2U << 16));
  second = _mm512_mask_mov_epi32(second, at.second3, number(3U << 16));
  writer.add_pairs(_mm512_or_si512(one, two), _mm512_or_si512(first, second));
  return too_many(kept[0], kept[1], kept[2], kept[3]) == 0;
}

template <>
bool fill_strip(const bfloat16* weight, int64_t stride, int64_t strip, Panel24& panel) {
  const int64_t row = strip * kStripRows;
  bool good = true;
  for (int64_t column = 0; column < panel.columns(); column += PairLine::kColumns) {
    const int64_t columns = std::min(PairLine::kColumns, panel.columns() - column);
    __m512i words[16];
    for (int64_t r = 0; r < kStripRows; ++r) {
      words[r] = row + r < panel.rows() ? load_line(weight + (row + r) * stride + column, columns)
                                        : _mm512_setzero_si512();
    }
    transpose16(words);
    ChunkWriter writer(panel.chunk(strip, column / PairLine::kColumns));
#pragma GCC unroll 8
    for (int64_t g = 0; g < kChunkSteps; ++g) {
      if (4 * g < columns) good &= add_group_of_words(words[2 * g], words[2 * g + 1], writer);
    }
  }
  return good;
}

template <class T>
bool fill_chunk_transposed(const T* weight, int64_t stride, int64_t chunk, Panel24& panel) {
  constexpr int64_t kGroups = LineOf<T>::kColumns / 4;
  const int64_t first = chunk * kGroups, last = std::min(panel.groups(), first + kGroups);
  bool good = true;
  for (int64_t row = 0; row < panel.rows(); row += kStripRows) {
    const __mmask16 mask = first_lanes(panel.rows() - row);
    ChunkWriter writer(panel.chunk(row / kStripRows, chunk));
    for (int64_t g = first; g < last; ++g) {
      Groups16 group;
      for (int64_t i = 0; i < 4; ++i) {
        group.entry[i] = load_floats(weight + (4 * g + i) * stride + row, mask);
      }
      writer.add_floats(kept_of_16_rows<T>(group));
      good &= is_24(group);
    }
  }
  return good;
}

template <>
bool fill_chunk_transposed(const bfloat16* weight, int64_t stride, int64_t chunk, Panel24& panel) {
  const int64_t first = chunk * kChunkSteps, last = std::min(panel.groups(), first + kChunkSteps);
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  uint32_t bad = 0;
  for (int64_t row = 0; row < panel.rows(); row += 2 * kStripRows) {
    const __mmask32 mask = first_of_32_lanes(panel.rows() - row);
    ChunkPair chunks(panel, row, chunk);
    for (int64_t g = first; g < last; ++g) {
      __m512i entry[4];
      load_bfloat16_rows(weight + 4 * g * stride + row, 4, mask, stride, entry);
      chunks.add(kept_of_32_rows(entry));
      uint32_t kept[4];
      for (int i = 0; i < 4; ++i) kept[i] = _mm512_test_epi16_mask(entry[i], magnitude);
      bad |= too_many(kept[0], kept[1], kept[2], kept[3]);
    }
  }
  return bad == 0;
}

template <class T>
constexpr StripLoops<T> kLoops = {.pack_rows = pack_rows<T>,
                                  .pack_columns = pack_columns<T>,
                                  .multiply = multiply<T>,
                                  .store = store<T>,
                                  .add = add,
                                  .fill = fill_strip<T>,
                                  .fill_transposed = fill_chunk_transposed<T>};

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
