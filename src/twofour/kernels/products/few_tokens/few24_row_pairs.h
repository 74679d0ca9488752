// Packed24 times a few tokens or more, for AVX-512 bf16. Each half of a register holds one row's
// kept values of a chunk, and one permutation selects their columns of a token. Neither the weight
// nor x is transposed. Everything has internal linkage.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "twofour/kernels/products/few_tokens/few24_generic.h"
#include "twofour/kernels/products/lines24_avx512.h"

namespace twofour::kernels {
namespace {

constexpr int kPairsAtOnce = 2;               // x is loaded once for both
constexpr int64_t kPairTokens = 12;           // their sums with the pairs stay in registers
constexpr int64_t kPairTileBytes = 24 << 10;  // of x: half of a first-level cache
constexpr int64_t kRowsAhead = 8;             // distance between fetched and multiplied rows

// Two rows of a at a column. 64 (bfloat16) or 32 columns, two chunks, are read at a time.
template <class T>
struct RowPair {
  static constexpr int64_t kColumns = 2 * LineOf<T>::kColumns;
  const T* values[2];
  const uint8_t* positions[2];
  RowPair at(int64_t column) const {
    return {{values[0] + column / 2, values[1] + column / 2},
            {positions[0] + column / 8, positions[1] + column / 8}};
  }
};

inline __m512i both(const void* lower, const void* upper) {
  return _mm512_inserti64x4(
      _mm512_castsi256_si512(_mm256_loadu_si256(static_cast<const __m256i*>(lower))),
      _mm256_loadu_si256(static_cast<const __m256i*>(upper)), 1);
}

// The kept values of the two rows in chunk i.
inline __m512i words_of(const RowPair<bfloat16>& rows, int i) {
  return both(rows.values[0] + 16 * i, rows.values[1] + 16 * i);
}
inline __m512i words_of(const RowPair<float>& rows, int i) {
  return both(rows.values[0] + 8 * i, rows.values[1] + 8 * i);
}
inline __m512i words_of(const RowPair<float16>& rows, int i) {
  const auto load = [&](int row) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.values[row] + 8 * i));
  };
  return _mm512_castps_si512(_mm512_cvtph_ps(_mm256_set_m128i(load(1), load(0))));
}

inline void read_places(const RowPair<bfloat16>& rows, __m512i (&places)[2]) {
  constexpr __mmask8 kUpperRow = 0xf0;
  const auto load = [&](int row) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows.positions[row]));
  };
  const __m512i bits =
      _mm512_mask_broadcastq_epi64(_mm512_broadcastq_epi64(load(0)), kUpperRow, load(1));
  // Each of eight lanes takes its two bits of one 16-bit word.
  const __m512i word[2] = {
      _mm512_broadcast_i64x4(_mm256_setr_epi64x(0x0100010001000100, 0x0100010001000100,
                                                0x0302030203020302, 0x0302030203020302)),
      _mm512_broadcast_i64x4(_mm256_setr_epi64x(0x0504050405040504, 0x0504050405040504,
                                                0x0706070607060706, 0x0706070607060706))};
  const __m512i shifts = _mm512_broadcast_i32x4(_mm_setr_epi16(0, 2, 4, 6, 8, 10, 12, 14));
  const __m512i groups = _mm512_broadcast_i64x4(
      _mm256_setr_epi16(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28));
  for (int i = 0; i < 2; ++i) {
    places[i] =
        _mm512_ternarylogic_epi32(_mm512_srlv_epi16(_mm512_shuffle_epi8(bits, word[i]), shifts),
                                  _mm512_set1_epi16(3), groups, kAndThenOr);
  }
}

template <class T>
void read_places(const RowPair<T>& rows, __m512i (&places)[2]) {
  constexpr __mmask16 kUpperRow = 0xff00;
  const auto load = [&](int row) {
    return _mm_castps_si128(_mm_load_ss(reinterpret_cast<const float*>(rows.positions[row])));
  };
  const __m512i bits =
      _mm512_mask_broadcastd_epi32(_mm512_broadcastd_epi32(load(0)), kUpperRow, load(1));
  const __m512i groups = _mm512_broadcast_i64x4(_mm256_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12));
  for (int i = 0; i < 2; ++i) {
    const __m512i shifts =
        _mm512_add_epi32(_mm512_broadcast_i64x4(_mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14)),
                         _mm512_set1_epi32(16 * i));
    places[i] = _mm512_ternarylogic_epi32(_mm512_srlv_epi32(bits, shifts), _mm512_set1_epi32(3),
                                          groups, kAndThenOr);
  }
}

// sums [kPairsAtOnce, kTokens, 16] = (or += unless `starts`) `columns` of some pairs of rows, a
// multiple of RowPair's, times x. The first eight lanes add up to the first row's sum.
template <class T, int kTokens>
void multiply_row_pairs(const RowPair<T> (&rows)[kPairsAtOnce], int64_t columns, const std::byte* x,
                        bool starts, const Ahead& ahead, float* sums) {
  __m512 sum[kPairsAtOnce][kTokens];
  for (int p = 0; p < kPairsAtOnce; ++p) {
    for (int t = 0; t < kTokens; ++t) {
      sum[p][t] = starts ? _mm512_setzero_ps() : _mm512_load_ps(sums + (p * kTokens + t) * 16);
    }
  }
  for (int64_t column = 0; column < columns; column += RowPair<T>::kColumns) {
    __m512i places[kPairsAtOnce][2];
    for (int p = 0; p < kPairsAtOnce; ++p) {
      const RowPair<T> here = rows[p].at(column);
      for (int r = 0; r < 2; ++r) prefetch(here.values[r], ahead.values);
      if (column % kLineColumns == 0) {
        for (int r = 0; r < 2; ++r) prefetch(here.positions[r], ahead.positions);
      }
      read_places(here, places[p]);
    }
    for (int i = 0; i < 2; ++i) {
      __m512i word[kPairsAtOnce];
      for (int p = 0; p < kPairsAtOnce; ++p) word[p] = words_of(rows[p].at(column), i);
#pragma GCC unroll 16
      for (int t = 0; t < kTokens; ++t) {
        const __m512i line = _mm512_load_si512(x + (i * kTokens + t) * kLineBytes);
        for (int p = 0; p < kPairsAtOnce; ++p) {
          sum[p][t] = LineOf<T>::multiply_add(word[p], places[p][i], line, sum[p][t]);
        }
      }
    }
    x += 2 * kTokens * kLineBytes;
  }
  for (int p = 0; p < kPairsAtOnce; ++p) {
    for (int t = 0; t < kTokens; ++t) _mm512_store_ps(sums + (p * kTokens + t) * 16, sum[p][t]);
  }
}

template <class T>
using MultiplyRowPairs = void (*)(const RowPair<T> (&rows)[kPairsAtOnce], int64_t columns,
                                  const std::byte* x, bool starts, const Ahead& ahead, float* sums);

template <class T, size_t... kIndex>
MultiplyRowPairs<T> row_pairs_of(int64_t tokens, std::index_sequence<kIndex...>) {
  static constexpr MultiplyRowPairs<T> kOfTokens[] = {multiply_row_pairs<T, kIndex + 1>...};
  return kOfTokens[tokens - 1];
}

// The sums of the lower and of the upper eight lanes of `tokens` vectors.
inline void add_lanes(const float* sums, int64_t tokens, __m512i& lower, __m512i& upper) {
  __m512 v[16];
  for (int t = 0; t < 16; ++t) {
    v[t] = t < tokens ? _mm512_load_ps(sums + 16 * t) : _mm512_setzero_ps();
  }
  for (int t = 0; t < 8; ++t) {
    v[t] = _mm512_add_ps(_mm512_unpacklo_ps(v[2 * t], v[2 * t + 1]),
                         _mm512_unpackhi_ps(v[2 * t], v[2 * t + 1]));
  }
  for (int t = 0; t < 4; ++t) {
    const __m512d a = _mm512_castps_pd(v[2 * t]), b = _mm512_castps_pd(v[2 * t + 1]);
    v[t] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  for (int t = 0; t < 2; ++t) {
    v[t] = _mm512_add_ps(_mm512_shuffle_f32x4(v[2 * t], v[2 * t + 1], 0x88),
                         _mm512_shuffle_f32x4(v[2 * t], v[2 * t + 1], 0xdd));
  }
  lower = _mm512_castps_si512(_mm512_shuffle_f32x4(v[0], v[1], 0x88));
  upper = _mm512_castps_si512(_mm512_shuffle_f32x4(v[0], v[1], 0xdd));
}

// The remainder of two rows after whole lines, padded with zeros.
template <class T>
struct LastColumns {
  T values[2][RowPair<T>::kColumns / 2] = {};
  uint8_t positions[2][RowPair<T>::kColumns / 8] = {};
  LastColumns(const RowPair<T>& rows, int64_t columns) {
    for (int r = 0; r < 2; ++r) {
      std::memcpy(values[r], rows.values[r], static_cast<size_t>(columns) / 2 * sizeof(T));
      std::memcpy(positions[r], rows.positions[r], static_cast<size_t>(columns + 7) / 8);
    }
  }
  RowPair<T> rows() const { return {{values[0], values[1]}, {positions[0], positions[1]}}; }
};

// Bytes of packed x per token.
template <class T>
int64_t token_bytes(int64_t columns) {
  return whole(columns, kFewColumns) / LineOf<T>::kColumns * kLineBytes;
}

// At most kFewRows rows of a, from `row` on, times all tokens. Each block of columns is used for
// all tokens before the next one, each tile of tokens for all rows.
template <class T>
class RowPairRun {
 public:
  RowPairRun(const Packed24View<T>& a, int64_t row, int64_t rows, const std::byte* x,
             int64_t tokens)
      : a_(a), row_(row), rows_(rows), x_(x), tiles_(tokens, kPairTokens) {}

  // sums [tokens, kFewRows].
  void operator()(float* sums) {
    thread_local Buffer<float> memory;
    memory.resize(static_cast<size_t>(tiles_.count * kFewRows / 2 * 16));
    sums_ = memory.data();
    const int64_t whole_lines = a_.columns / kColumns * kColumns;
    for (int64_t first = 0; first < whole_lines; first += block_columns_) {
      const int64_t count = std::min(block_columns_, whole_lines - first);
      for (int64_t tile = 0; tile < tiles_.tiles; ++tile) multiply(first, count, tile);
    }
    if (whole_lines < a_.columns) {
      for (int64_t tile = 0; tile < tiles_.tiles; ++tile) multiply_last(whole_lines, tile);
    }
    for (int64_t tile = 0; tile < tiles_.tiles; ++tile) add_up(tile, sums);
  }

 private:
  static constexpr int64_t kColumns = RowPair<T>::kColumns;

  int64_t pairs() const { return (rows_ + 1) / 2; }
  // Missing rows repeat the last.
  RowPair<T> pair_at(int64_t pair, int64_t column) const {
    const int64_t first = row_ + std::min(2 * pair, rows_ - 1);
    const int64_t second = row_ + std::min(2 * pair + 1, rows_ - 1);
    return RowPair<T>{{a_.row_values(first), a_.row_values(second)},
                      {a_.row_positions(first), a_.row_positions(second)}}
        .at(column);
  }
  const std::byte* x_at(int64_t tile, int64_t column) const {
    return x_ + tiles_.begin(tile) * token_bytes<T>(a_.columns) +
           column / LineOf<T>::kColumns * tiles_.size(tile) * kLineBytes;
  }
  float* sums_at(int64_t tile, int64_t pair) const {
    return sums_ + (tiles_.begin(tile) * kFewRows / 2 + pair * tiles_.size(tile)) * 16;
  }
  MultiplyRowPairs<T> kernel(int64_t tile) const {
    return row_pairs_of<T>(tiles_.size(tile), std::make_index_sequence<kPairTokens>());
  }

  // The first tile prefetches its operands of kRowsAhead rows later: from this block, the next, or
  // the rows after these.
  Ahead ahead_of(int64_t pair, int64_t first, int64_t count) const {
    int64_t rows = kRowsAhead, columns = 0;
    if (2 * pair + kRowsAhead >= kFewRows) {
      const bool is_last = first + count + kColumns > a_.columns;
      if (is_last) {
        columns = -first;
      } else {
        columns = count;
        rows -= kFewRows;
      }
    }
    return {(rows * a_.columns + columns) / 2 * static_cast<int64_t>(sizeof(T)),
            rows * a_.position_bytes() + columns / 8};
  }

  void multiply(int64_t first, int64_t count, int64_t tile) {
    for (int64_t pair = 0; pair < pairs(); pair += kPairsAtOnce) {
      const Ahead ahead = tile == 0 ? ahead_of(pair, first, count) : Ahead{0, 0};
      kernel(tile)({pair_at(pair, first), pair_at(pair + 1, first)}, count, x_at(tile, first),
                   first == 0, ahead, sums_at(tile, pair));
    }
  }

  void multiply_last(int64_t first, int64_t tile) {
    for (int64_t pair = 0; pair < pairs(); pair += kPairsAtOnce) {
      const LastColumns<T> last[] = {{pair_at(pair, first), a_.columns - first},
                                     {pair_at(pair + 1, first), a_.columns - first}};
      kernel(tile)({last[0].rows(), last[1].rows()}, kColumns, x_at(tile, first), first == 0,
                   Ahead{0, 0}, sums_at(tile, pair));
    }
  }

  void add_up(int64_t tile, float* sums) const {
    const int64_t tokens = tiles_.size(tile);
    for (int64_t row = 0; row < rows_; row += 16) {
      __m512i block[16];
      for (int64_t r = 0; r < 16; r += 2) {
        block[r] = block[r + 1] = _mm512_setzero_si512();
        if (row + r < rows_) {
          add_lanes(sums_at(tile, (row + r) / 2), tokens, block[r], block[r + 1]);
        }
      }
      transpose16(block);
      float* out = sums + tiles_.begin(tile) * kFewRows + row;
      for (int64_t t = 0; t < tokens; ++t) _mm512_store_si512(out + t * kFewRows, block[t]);
    }
  }

  const Packed24View<T>& a_;
  int64_t row_, rows_;
  const std::byte* x_;
  TokenTiles tiles_;
  int64_t block_columns_ =
      kPairTileBytes / (2 * tiles_.size(tiles_.tiles - 1) * kLineBytes) * kColumns;
  float* sums_ = nullptr;
};

template <class T>
void multiply_by_row_pair(const Packed24View<T>& a, int64_t row, int64_t rows, const std::byte* x,
                          int64_t tokens, float* sums) {
  RowPairRun<T>(a, row, rows, x, tokens)(sums);
}

template <class T>
size_t x_bytes_in_lines(int64_t tokens, int64_t columns) {
  return static_cast<size_t>(tokens * token_bytes<T>(columns));
}

template <class T>
void load_in_lines(const T* x, int64_t tokens, int64_t columns, int64_t stride, int64_t first,
                   int64_t last, std::byte* out) {
  const TokenTiles tiles(tokens, kPairTokens);
  for (int64_t tile = 0; tile < tiles.tiles; ++tile) {
    const int64_t token = tiles.begin(tile), count = tiles.size(tile);
    const auto at = [&](int64_t column) {
      return out + token * token_bytes<T>(columns) +
             column / LineOf<T>::kColumns * count * kLineBytes;
    };
    pack_rows(x + token * stride + first, count, last - first, stride, at(first));
    std::byte* const end = at(whole(last, LineOf<T>::kColumns));
    std::memset(end, 0, static_cast<size_t>(at(whole(last, kFewColumns)) - end));
  }
}

}  // namespace
}  // namespace twofour::kernels
