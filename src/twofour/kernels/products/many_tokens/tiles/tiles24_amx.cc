// The tile products of tiles24.h. Tile registers: 0 to 3 for the sums of a pair, 4 and 5 for x, 6
// and 7 for the weight.
#include <cstring>
#include <type_traits>

#include "twofour/kernels/products/many_tokens/product24_store_avx512.h"
#include "twofour/kernels/products/many_tokens/tiles/tiles24.h"
#include "twofour/kernels/products/terms_amx.h"
#include "twofour/kernels/products/tile_config_amx.h"

namespace twofour::kernels {
namespace {

// The 16 lines of a packed tile, 64 bytes for each term.
template <int kTermCount>
inline void expand_tile(const std::byte* tile, std::byte* out) {
  uint32_t masks[16];
  std::memcpy(masks, tile, sizeof masks);
  for (int64_t term = 0; term < kTermCount; ++term) {
    const std::byte* kept = tile + 64 + term * kTermBytes;
    std::byte* lines = out + term * 2 * kOperandTileBytes;
    for (int g = 0; g < 8; ++g, kept += 64, lines += 128) {
      const uint32_t even = masks[2 * g], odd = masks[2 * g + 1];
      const std::byte* rest = kept + 2 * __builtin_popcount(even);
      _mm512_store_si512(lines, _mm512_maskz_expand_epi16(even, _mm512_loadu_si512(kept)));
      _mm512_store_si512(lines + 64, _mm512_maskz_expand_epi16(odd, _mm512_loadu_si512(rest)));
    }
  }
}

// Both row tiles of a pair at one column tile.
template <int kTermCount>
inline void expand_pair(const std::byte* tiles, std::byte* expanded) {
  constexpr int64_t kBytes = packed_tile_bytes(kTermCount);
  _mm_prefetch(reinterpret_cast<const char*>(tiles + 4096), _MM_HINT_T0);
  expand_tile<kTermCount>(tiles, expanded);
  expand_tile<kTermCount>(tiles + kBytes, expanded + kOperandTileBytes);
}

// Loads of x leave the first-level cache to the expanded weight.
inline void load_x(const std::byte* x) { _tile_stream_loadd(4, x, 64); }
inline void load_second_x(const std::byte* x) { _tile_stream_loadd(5, x + kOperandTileBytes, 64); }
inline void load_weight(const std::byte* w) {
  _tile_loadd(6, w, 64);
  _tile_loadd(7, w + kOperandTileBytes, 64);
}

template <bool kBoth>
inline void load_both_x(const std::byte* x) {
  load_x(x);
  if constexpr (kBoth) load_second_x(x);
}

template <bool kBoth>
inline void multiply_loaded() {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  if constexpr (kBoth) {
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

// All products of terms that matter, with the fewest loads that the registers allow.
template <int kTermCount, bool kBoth>
inline void multiply_tile(const std::byte* x, const std::byte* w) {
  constexpr int64_t kTerm = 2 * kOperandTileBytes;
  if constexpr (kTermCount == 1) {
    load_both_x<kBoth>(x);
    load_weight(w);
    multiply_loaded<kBoth>();
  }
  if constexpr (kTermCount == 2) {
    load_both_x<kBoth>(x + kTerm);
    load_weight(w + kTerm);
    multiply_loaded<kBoth>();
    load_both_x<kBoth>(x);
    multiply_loaded<kBoth>();
    load_weight(w);
    multiply_loaded<kBoth>();
    load_both_x<kBoth>(x + kTerm);
    multiply_loaded<kBoth>();
  }
  if constexpr (kTermCount == 3) {
    load_both_x<kBoth>(x);
    load_weight(w + 2 * kTerm);
    multiply_loaded<kBoth>();
    load_weight(w + kTerm);
    multiply_loaded<kBoth>();
    load_both_x<kBoth>(x + kTerm);
    multiply_loaded<kBoth>();
    load_weight(w);
    multiply_loaded<kBoth>();
    load_both_x<kBoth>(x + 2 * kTerm);
    multiply_loaded<kBoth>();
    load_both_x<kBoth>(x);
    multiply_loaded<kBoth>();
  }
}

// 16 tokens of 32 columns, one tile per term.
template <class T>
void pack_tile(const T* x, int64_t tokens, int64_t columns, int64_t stride, std::byte* out) {
  for (int64_t t = 0; t < kTileRows; ++t, out += 64) {
    const bool present = t < tokens;
    const T* row = present ? x + t * stride : x;
    if constexpr (kTerms<T> == 1) {
      const __mmask32 mask = present ? (columns >= 32 ? ~0u : (1u << columns) - 1u) : 0u;
      _mm512_store_si512(out, _mm512_maskz_loadu_epi16(mask, row));
    } else {
      Terms low(quiet(load_floats(row, present ? first_lanes(columns) : 0)));
      Terms high(quiet(
          load_floats(row + (columns > 16 ? 16 : 0), present ? first_lanes(columns - 16) : 0)));
      for (int term = 0; term < kTerms<T>; ++term) {
        _mm512_store_si512(out + term * 2 * kOperandTileBytes,
                           upper_halves(low.take(term), high.take(term)));
      }
    }
  }
}

template <class T>
void pack_rows(const T* x, int64_t tokens, int64_t columns, int64_t stride, std::byte* out) {
  for (int64_t k = 0; k < columns; k += kTileColumns) {
    const int64_t here = columns - k;
    pack_tile(x + k, tokens, here, stride, out);
    if (tokens > kTileRows) {
      pack_tile(x + kTileRows * stride + k, tokens - kTileRows, here, stride,
                out + kOperandTileBytes);
    } else {
      for (int term = 0; term < kTerms<T>; ++term) {
        std::memset(out + (2 * term + 1) * kOperandTileBytes, 0, kOperandTileBytes);
      }
    }
    out += kTerms<T> * 2 * kOperandTileBytes;
  }
}

// 16 columns of x as rows of a tile: interleaves pairs of rows of x, then transposes.
template <class T>
void pack_column_tile(const T* x, int64_t rows, int64_t width, int64_t stride, std::byte* out) {
  const __mmask16 mask = first_lanes(width);
  __m512i words[kTerms<T>][16];
  for (int64_t i = 0; i < 16; ++i) {
    const bool first = 2 * i < rows, second = 2 * i + 1 < rows;
    Terms even(quiet(load_floats(first ? x + 2 * i * stride : x, first ? mask : 0)));
    Terms odd(quiet(load_floats(second ? x + (2 * i + 1) * stride : x, second ? mask : 0)));
    for (int term = 0; term < kTerms<T>; ++term) {
      words[term][i] = interleave(even.take(term), odd.take(term));
    }
  }
  for (int term = 0; term < kTerms<T>; ++term) {
    transpose16(words[term]);
    for (int64_t i = 0; i < 16; ++i) {
      _mm512_store_si512(out + term * 2 * kOperandTileBytes + 64 * i, words[term][i]);
    }
  }
}

template <class T>
void pack_columns(const T* x, int64_t rows, int64_t width, int64_t stride, std::byte* out) {
  for (int64_t k = 0; k < rows; k += kTileColumns) {
    pack_column_tile(x + k * stride, rows - k, width, stride, out);
    pack_column_tile(x + k * stride + (width > 16 ? 16 : 0), rows - k, width - 16, stride,
                     out + kOperandTileBytes);
    out += kTerms<T> * 2 * kOperandTileBytes;
  }
}

// Two vectors rounded to 16 bits, consecutive in y. Subnormal bfloat16 become 0, as in the
// products.
inline __m512i rounded_line(const __m512 (&z)[2], const bfloat16*) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(z[1], z[0]));
}
inline __m512i rounded_line(const __m512 (&z)[2], const float16*) {
  const __m256i first = _mm512_cvtps_ph(z[0], _MM_FROUND_TO_NEAREST_INT);
  const __m256i second = _mm512_cvtps_ph(z[1], _MM_FROUND_TO_NEAREST_INT);
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}

template <class T>
inline void store_two(const __m512 (&z)[2], T* y, const __mmask16 (&masks)[2]) {
  if constexpr (sizeof(T) == sizeof(float)) {
    store_floats(z[0], y, masks[0]);
    store_floats(z[1], y + (masks[1] ? 16 : 0), masks[1]);
  } else {
    _mm512_mask_storeu_epi16(y, _mm512_kunpackw(masks[1], masks[0]), rounded_line(z, y));
  }
}

// Stores whole lines past the caches.
template <class T>
inline void stream_two(const __m512 (&z)[2], T* y) {
  if constexpr (sizeof(T) == sizeof(float)) {
    _mm512_stream_ps(y, z[0]);
    _mm512_stream_ps(y + 16, z[1]);
  } else {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(y), rounded_line(z, y));
  }
}

// One line of sums plus those of previous blocks.
inline __m512 line_of(const float* sums, const float* before, int64_t at) {
  const __m512 line = _mm512_load_ps(sums + at);
  return before ? _mm512_add_ps(_mm512_load_ps(before + at), line) : line;
}

template <class T>
void store_tokens(const PairSums<T>& p, int64_t first, int64_t last) {
  const __mmask16 masks[2] = {first_lanes(p.rows), first_lanes(p.rows - 16)};
  __m512 bias[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  if (p.bias) {
    bias[0] = load_floats(p.bias, masks[0]);
    bias[1] = load_floats(p.bias + (masks[1] ? 16 : 0), masks[1]);
  }
  for (int64_t t = first; t < last; ++t) {
    const int64_t line = t / 16 * 512 + t % 16 * 16;
    const __m512 z[2] = {_mm512_add_ps(line_of(p.sums, p.before, line), bias[0]),
                         _mm512_add_ps(line_of(p.sums, p.before, line + 256), bias[1])};
    if (p.streams) {
      stream_two(z, p.y + t * p.stride);
    } else {
      store_two(z, p.y + t * p.stride, masks);
    }
  }
}

// A tile of sums: 16 tokens and rows.
template <class T>
void add_transposed(const PairSums<T>& p, int64_t tile) {
  const int64_t token = tile / 2 * 16, row = tile % 2 * 16;
  const __mmask16 mask = first_lanes(p.tokens - token);
  const int64_t rows = p.rows - row < 16 ? p.rows - row : 16;
  __m512i block[16];
  for (int i = 0; i < 16; ++i) {
    block[i] = _mm512_castps_si512(line_of(p.sums, p.before, tile * 256 + 16 * i));
  }
  transpose16(block);
  float* out = p.gradient + row * p.stride + (mask ? token : 0);
  for (int64_t i = 0; i < rows; ++i, out += p.stride) {
    _mm_prefetch(reinterpret_cast<const char*>(out + kPair), _MM_HINT_T0);  // the next pair's
    const __m512 sum =
        _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), _mm512_castsi512_ps(block[i]));
    _mm512_mask_storeu_ps(out, mask, sum);
  }
}

// The number of parts into which the use of sums can be split.
template <class T>
inline int64_t lines_of(const PairSums<T>& p) {
  using Use = typename PairSums<T>::Use;
  return p.use == Use::kAdd          ? (p.tokens > kTileRows ? 64 : 32)
         : p.use == Use::kStore      ? p.tokens
         : p.use == Use::kTransposed ? 4
                                     : 0;
}

template <class T>
inline void use_lines(const PairSums<T>& p, int64_t first, int64_t last) {
  using Use = typename PairSums<T>::Use;
  if (p.use == Use::kAdd) {
    for (int64_t i = first; i < last; ++i) {
      _mm512_store_ps(p.before + 16 * i, line_of(p.sums, p.before, 16 * i));
    }
  } else if (p.use == Use::kStore) {
    store_tokens(p, first, last);
  } else if (p.use == Use::kTransposed) {
    for (int64_t tile = first; tile < last; ++tile) add_transposed(p, tile);
  }
}

template <bool kBoth>
inline void store_sums(float* sums) {
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + 256, 64);
  if constexpr (kBoth) {
    _tile_stored(2, sums + 512, 64);
    _tile_stored(3, sums + 768, 64);
  }
}

// kExpands: also expands the weight's tiles, one column tile ahead of their use.
template <class T, bool kBoth, bool kExpands>
void multiply_pair(const TileOperands& o, float* sums, const PairSums<T>& pending) {
  constexpr int64_t kStep = kTerms<T> * 2 * kOperandTileBytes;
  constexpr int64_t kPacked = 2 * packed_tile_bytes(kTerms<T>);
  const std::byte* next = o.next;
  const int64_t lines = lines_of(pending), step = (lines + o.column_tiles - 1) / o.column_tiles;
  int64_t line = 0;
  order_memory();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  if constexpr (kExpands) expand_pair<kTerms<T>>(o.tiles, o.expanded);
  for (int64_t k = 0; k < o.column_tiles; ++k) {
    if constexpr (kExpands) {
      if (k + 1 < o.column_tiles) {
        expand_pair<kTerms<T>>(o.tiles + (k + 1) * kPacked, o.expanded + (k + 1) * kStep);
      }
      order_memory();
    }
    for (int64_t i = 0; i < o.next_lines; ++i, next += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
    }
    multiply_tile<kTerms<T>, kBoth>(o.x + k * kStep, o.expanded + k * kStep);
    const int64_t last = line + step < lines ? line + step : lines;
    use_lines(pending, line, last);
    line = last;
  }
  store_sums<kBoth>(sums);
  order_memory();
}

template <class T>
void multiply(const TileOperands& o, float* sums, const PairSums<T>& pending) {
  if (o.expands) {
    o.both ? multiply_pair<T, true, true>(o, sums, pending)
           : multiply_pair<T, false, true>(o, sums, pending);
  } else {
    o.both ? multiply_pair<T, true, false>(o, sums, pending)
           : multiply_pair<T, false, false>(o, sums, pending);
  }
}

template <class T>
void finish(const PairSums<T>& pending) {
  use_lines(pending, 0, lines_of(pending));
}

template <class T>
constexpr TileLoops<T> kTileLoops = {.start = start_tiles,
                                     .stop = stop_tiles,
                                     .pack_rows = pack_rows<T>,
                                     .pack_columns = pack_columns<T>,
                                     .multiply = multiply<T>,
                                     .finish = finish<T>};

}  // namespace

template <>
const TileLoops<float>& tile_loops() {
  return kTileLoops<float>;
}

template <>
const TileLoops<bfloat16>& tile_loops() {
  return kTileLoops<bfloat16>;
}

template <>
const TileLoops<float16>& tile_loops() {
  return kTileLoops<float16>;
}

}  // namespace twofour::kernels
