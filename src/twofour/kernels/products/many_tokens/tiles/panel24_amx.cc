// Panels of tiles: lines of 16 rows x 2 columns, of which the nonzero entries are kept. Separate
// from the products because a fused multiply-add here would change the draws.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include <x86intrin.h>  // clang has _m_prefetchw here only

#include "twofour/kernels/mvue/mvue_draw_avx512.h"
#include "twofour/kernels/products/many_tokens/panel24_fill_avx512.h"
#include "twofour/kernels/products/many_tokens/tiles/tiles24.h"
#include "twofour/kernels/products/terms_amx.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kTileGroups = kTileColumns / 4;

// The masks of a group's two lines: bit 2r of `even` is column 0 of row r, bit 2r + 1 column 1;
// `odd` holds columns 2 and 3.
struct LineMasks {
  uint32_t even, odd;
  int count() const { return __builtin_popcount(even) + __builtin_popcount(odd); }
  /// At most 32 entries; with `strict`, at most two per row.
  bool fit(bool strict) const {
    return strict ? (too_many(even, even >> 1, odd, odd >> 1) & 0x55555555u) == 0 : count() <= 32;
  }
};

// Writes a tile group by group, in order. This version is for entries of several terms: it gathers
// the kept entries of all groups, then splits them. So no term is made of a zero and no load waits
// for a store.
template <class T>
class TileWriter {
 public:
  using Group = Groups16;

  explicit TileWriter(std::byte* tile) : tile_(tile) {}

  /// Returns false if too many entries are kept; the tile's content is then undefined.
  bool put(const Groups16& group, bool strict) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    const auto& e = group.entry;
    const __m512 lines[4] = {
        _mm512_permutex2var_ps(e[0], low, e[1]), _mm512_permutex2var_ps(e[0], high, e[1]),
        _mm512_permutex2var_ps(e[2], low, e[3]), _mm512_permutex2var_ps(e[2], high, e[3])};
    __mmask16 kept[4];
    for (int i = 0; i < 4; ++i) kept[i] = not_zero(lines[i]);
    const LineMasks masks = {_mm512_kunpackw(kept[1], kept[0]), _mm512_kunpackw(kept[3], kept[2])};
    float* out = kept_[groups_];
    for (int i = 0; i < 4; ++i) {
      _mm512_storeu_ps(out, _mm512_maskz_compress_ps(kept[i], lines[i]));
      out += __builtin_popcount(kept[i]);
    }
    std::memcpy(tile_ + 8 * groups_, &masks, sizeof masks);
    counts_[groups_++] = masks.count();
    return masks.fit(strict);
  }

  void finish() {
    for (int64_t g = 0; g < groups_; ++g) {
      Terms first(quiet(_mm512_maskz_loadu_ps(first_lanes(counts_[g]), kept_[g])));
      Terms second(quiet(_mm512_maskz_loadu_ps(first_lanes(counts_[g] - 16), kept_[g] + 16)));
      for (int term = 0; term < kTerms<T>; ++term) {
        _mm512_storeu_si512(tile_ + 64 + term * kTermBytes + 64 * g,
                            upper_halves(first.take(term), second.take(term)));
      }
    }
  }

 private:
  std::byte* tile_;
  int64_t groups_ = 0, counts_[kTileGroups];
  float kept_[kTileGroups][4 * 16];
};

// Two lines of bfloat16 in the layout of the tile multiply.
struct Lines {
  __m512i even, odd;
};

template <>
class TileWriter<bfloat16> {
 public:
  using Group = Lines;

  explicit TileWriter(std::byte* tile) : tile_(tile) {}

  bool put(const Lines& lines, bool strict) {
    const __m512i size = _mm512_set1_epi16(0x7fff);
    const LineMasks masks = {_mm512_test_epi16_mask(lines.even, size),
                             _mm512_test_epi16_mask(lines.odd, size)};
    if (!masks.fit(strict)) return false;
    const int first = __builtin_popcount(masks.even), second = __builtin_popcount(masks.odd);
    std::byte* out = tile_ + 64 + 64 * groups_;
    std::memcpy(tile_ + 8 * groups_++, &masks, sizeof masks);
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi16(masks.even, lines.even));
    _mm512_mask_storeu_epi16(out + 2 * first, static_cast<__mmask32>((uint64_t{1} << second) - 1),
                             _mm512_maskz_compress_epi16(masks.odd, lines.odd));
    return true;
  }

  void finish() {}

 private:
  std::byte* tile_;
  int64_t groups_ = 0;
};

// Four rows of 32 columns as two groups of 16 columns; a row becomes a column of a tile.
template <class T>
void load_groups(const T* in, int64_t rows, int64_t columns, int64_t stride,
                 Groups16 (&groups)[2]) {
  for (int64_t half = 0; half < 2; ++half) {
    const __mmask16 mask = first_lanes(columns - 16 * half);
    const T* part = mask ? in + 16 * half : in;
    for (int64_t r = 0; r < 4; ++r) {
      groups[half].entry[r] = load_floats(part + (r < rows ? r * stride : 0), r < rows ? mask : 0);
    }
  }
}

inline void load_groups(const bfloat16* in, int64_t rows, int64_t columns, int64_t stride,
                        Lines (&groups)[2]) {
  __m512i x[4];
  load_bfloat16_rows(in, rows, first_of_32_lanes(columns), stride, x);
  const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  const __m512i a = _mm512_unpacklo_epi16(x[0], x[1]), b = _mm512_unpackhi_epi16(x[0], x[1]);
  const __m512i c = _mm512_unpacklo_epi16(x[2], x[3]), d = _mm512_unpackhi_epi16(x[2], x[3]);
  groups[0] = {_mm512_permutex2var_epi64(a, low, b), _mm512_permutex2var_epi64(c, low, d)};
  groups[1] = {_mm512_permutex2var_epi64(a, high, b), _mm512_permutex2var_epi64(c, high, d)};
}

// The same for the MVUE of in; its 32 groups along rows use the numbers of eight Philox blocks.
template <class T>
void draw_groups(const T* in, int64_t rows, int64_t columns, int64_t stride,
                 const PhiloxLanes& numbers, Groups16 (&groups)[2]) {
  const Uniforms32 u = uniforms_in_order(numbers);
  for (int64_t half = 0; half < 2; ++half) {
    const bool present = columns > 16 * half;
    groups[half] =
        draw_columns<Mvue::kApproximate>(present ? in + 16 * half : in, present ? rows : 0,
                                         columns - 16 * half, stride, u.part[half]);
    for (__m512& entry : groups[half].entry) {
      entry = _mm512_castsi512_ps(rounded_words(entry, T{}));
    }
  }
}

// place_words of bfloat16 in upper halves as two lines; rows 0 and 2 are the lower half of a word.
inline Lines place_lines(const Pair16& pair) {
  const __m512i first = rounded_upper(pair.first), second = rounded_upper(pair.second);
  const Placed16 low =
      place_words(pair, _mm512_srli_epi32(first, 16), _mm512_srli_epi32(second, 16));
  const Placed16 high = place_words(pair, odd_words(first), odd_words(second));
  return {_mm512_or_si512(low.entry[0], high.entry[1]),
          _mm512_or_si512(low.entry[2], high.entry[3])};
}

// For values that are not finite. Out of line to spare the loop's registers.
__attribute__((noinline, cold)) void draw_groups_in_order(const bfloat16* in, int64_t rows,
                                                          int64_t columns, int64_t stride,
                                                          const PhiloxLanes& numbers,
                                                          Lines (&groups)[2]) {
  Groups16 drawn[2];
  draw_groups<bfloat16>(in, rows, columns, stride, numbers, drawn);
  for (int half = 0; half < 2; ++half) {
    __m512i words[4];
    for (int i = 0; i < 4; ++i) words[i] = _mm512_castps_si512(drawn[half].entry[i]);
    groups[half] = {interleave(words[0], words[1]), interleave(words[2], words[3])};
  }
}

inline void draw_groups(const bfloat16* in, int64_t rows, int64_t columns, int64_t stride,
                        const PhiloxLanes& numbers, Lines (&groups)[2]) {
  __m512i x[4];
  Pair16 pairs[2];
  load_bfloat16_rows(in, rows, first_of_32_lanes(columns), stride, x);
  if (!draw_by_parity<Mvue::kApproximate>(x, numbers, pairs)) {
    draw_groups_in_order(in, rows, columns, stride, numbers, groups);
    return;
  }
  // Signs are those of x. Zeros also get a sign, but they are not kept.
  constexpr int kOrAnd = 0xf8;  // a | (b & c)
  const __m512i sign = _mm512_set1_epi16(static_cast<int16_t>(0x8000));
  const auto even = [&](__m512i words, __m512i a, __m512i b) {
    const __m512i from = _mm512_mask_blend_epi16(0xaaaaaaaau, a, _mm512_slli_epi32(b, 16));
    return _mm512_ternarylogic_epi32(words, from, sign, kOrAnd);
  };
  const auto odd = [&](__m512i words, __m512i a, __m512i b) {
    const __m512i from = _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(a, 16), b);
    return _mm512_ternarylogic_epi32(words, from, sign, kOrAnd);
  };
  Lines of_even = place_lines(pairs[0]), of_odd = place_lines(pairs[1]);
  of_even = {even(of_even.even, x[0], x[1]), even(of_even.odd, x[2], x[3])};
  of_odd = {odd(of_odd.even, x[0], x[1]), odd(of_odd.odd, x[2], x[3])};
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  groups[0] = {_mm512_permutex2var_epi32(of_even.even, low, of_odd.even),
               _mm512_permutex2var_epi32(of_even.odd, low, of_odd.odd)};
  groups[1] = {_mm512_permutex2var_epi32(of_even.even, high, of_odd.even),
               _mm512_permutex2var_epi32(of_even.odd, high, of_odd.odd)};
}

// The prefetch distance in tiles, along the rows of their source.
constexpr int64_t kTilesAhead = 2;

template <class T>
inline void fetch_rows(const T* in, int64_t rows, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t byte = 0; byte < kPair * static_cast<int64_t>(sizeof(T)); byte += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(in + r * stride) + byte, _MM_HINT_T1);
    }
  }
}

// Prefetches a share of a pair's tiles for writing; kTileGroups calls cover all of it.
template <class T>
inline void fetch_tiles(const std::byte* tiles, int64_t g) {
  constexpr int64_t kBytes = 2 * packed_tile_bytes(kTerms<T>);
  for (int64_t byte = 64 * g; byte < kBytes; byte += 64 * kTileGroups) {
    _m_prefetchw(const_cast<std::byte*>(tiles) + byte);
  }
}

// One tile, of 16 rows.
template <class T>
bool fill_tile(const T* weight, int64_t rows, int64_t columns, int64_t stride, std::byte* tile) {
  bool good = true;
  TileWriter<T> writer(tile);
  for_groups_of_rows(weight, stride, 0, rows, std::min(kTileColumns, columns),
                     [&](int64_t, const Groups16& group) { good &= writer.put(group, true); });
  writer.finish();
  return good;
}

// Pairs of columns are transposed as words, which gives lines.
inline bool fill_tile(const bfloat16* weight, int64_t rows, int64_t columns, int64_t stride,
                      std::byte* tile) {
  const __mmask32 mask = first_of_32_lanes(columns);
  __m512i lines[16];
  for (int64_t i = 0; i < 16; ++i) {
    lines[i] = _mm512_maskz_loadu_epi16(i < rows ? mask : 0, weight + (i < rows ? i * stride : 0));
  }
  transpose16(lines);
  bool good = true;
  TileWriter<bfloat16> writer(tile);
  for (int64_t g = 0; g < kTileGroups; ++g) {
    good &= writer.put({lines[2 * g], lines[2 * g + 1]}, true);
  }
  return good;
}

template <class T>
bool fill(const T* weight, int64_t stride, int64_t pair, Panel24& panel) {
  bool good = true;
  const int64_t row = pair * kPair, tiles = panel.column_tiles();
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t column = tile * kTileColumns;
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t first = row + half * kTileRows, rows = panel.rows() - first;
      const T* from = weight + (rows > 0 ? first * stride : 0) + column;
      if (tile + kTilesAhead < tiles) {
        if constexpr (sizeof(T) == 2) {  // with several lines a row the CPU prefetches
          fetch_rows(from + kTilesAhead * kTileColumns, std::min(kTileRows, rows), stride);
        }
        for (int64_t g = half; g < kTileGroups; g += 2) {
          fetch_tiles<T>(panel.tile(2 * pair, tile + kTilesAhead), g);
        }
      }
      good &= fill_tile(from, rows, panel.columns() - column, stride,
                        panel.tile(2 * pair + half, tile));
    }
  }
  return good;
}

// Fills the pairs first to last - 1 at one column tile from `in`, whose rows are the tiles'
// columns: groups(in, rows, columns, first row, first column, two groups) makes 32 groups. So a
// whole line of every row is read at a time, followed by the next ones of the same rows.
template <class T, class Groups>
bool fill_column_tile(const T* in, int64_t stride, int64_t column_tile, int64_t first, int64_t last,
                      Panel24& panel, Groups&& groups) {
  bool good = true;
  for (int64_t pair = first; pair < last; ++pair) {
    TileWriter<T> writers[] = {TileWriter<T>(panel.tile(2 * pair, column_tile)),
                               TileWriter<T>(panel.tile(2 * pair + 1, column_tile))};
    const int64_t feature = pair * kPair;
    for (int64_t g = 0; g < kTileGroups; ++g) {
      const int64_t row = column_tile * kTileColumns + 4 * g;
      if (row >= panel.columns()) break;
      const T* rows = in + row * stride + feature;
      if (pair + kTilesAhead < last && row + 4 <= panel.columns()) {
        fetch_rows(rows + kTilesAhead * kPair, 4, stride);
      }
      if (pair + 1 < last) fetch_tiles<T>(panel.tile(2 * pair + 2, column_tile), g);
      typename TileWriter<T>::Group two[2];
      groups(rows, panel.columns() - row, panel.rows() - feature, row, feature, two);
      for (int half = 0; half < 2; ++half) good &= writers[half].put(two[half], false);
    }
    for (TileWriter<T>& writer : writers) writer.finish();
  }
  return good;
}

template <class T>
bool fill_transposed(const T* weight, int64_t stride, int64_t column_tile, int64_t first,
                     int64_t last, Panel24& panel) {
  return fill_column_tile(
      weight, stride, column_tile, first, last, panel,
      [stride](const T* in, int64_t rows, int64_t columns, int64_t, int64_t, auto& groups) {
        load_groups(in, rows, columns, stride, groups);
      });
}

template <class T>
void fill_mvue(const T* dz, int64_t stride, const RandomStream& stream, int64_t column_tile,
               int64_t first, int64_t last, Panel24& panel) {
  const PhiloxRounds rounds(stream);
  const uint32_t group_stride = mvue24_group_stride(panel.rows());
  fill_column_tile(dz, stride, column_tile, first, last, panel,
                   [&](const T* in, int64_t tokens, int64_t features, int64_t token,
                       int64_t feature, auto& groups) {
                     const uint32_t number = static_cast<uint32_t>(token / 4) * group_stride +
                                             static_cast<uint32_t>(feature);
                     draw_groups(in, tokens, features, stride, philox8(rounds, number / 4), groups);
                   });
}

template <class T>
constexpr TileFills<T> kTileFills = {
    .fill = fill<T>, .fill_transposed = fill_transposed<T>, .fill_mvue = fill_mvue<T>};

}  // namespace

template <>
const TileFills<float>& tile_fills() {
  return kTileFills<float>;
}

template <>
const TileFills<bfloat16>& tile_fills() {
  return kTileFills<bfloat16>;
}

template <>
const TileFills<float16>& tile_fills() {
  return kTileFills<float16>;
}

}  // namespace twofour::kernels
