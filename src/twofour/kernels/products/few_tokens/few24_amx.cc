// bfloat16 with AMX tiles: expands 16 rows of A by 32 columns to dense in the first-level cache and
// multiplies them by 16 tokens in one instruction, so reading A bounds the time of up to 64 tokens.
#include "twofour/kernels/products/few_tokens/few24_generic.h"
#include "twofour/kernels/products/tile_config_amx.h"
#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kGatherTokens = 4;  // up to this many, expanding is slower
constexpr int64_t kTileRows = 16, kTileColumns = 32, kTileBytes = 1024;
constexpr int64_t kBlockTiles = 4;  // of a row of tiles; expanded, then multiplied

// x is in tiles [columns / 32, tokens / 16] of 16 pairs of columns by 16 tokens.
inline size_t x_bytes_in_tiles(int64_t tokens, int64_t columns) {
  return static_cast<size_t>(whole(columns, kFewColumns) * whole(tokens, kTokenStep) * 2);
}

inline void load_in_tiles(const bfloat16* x, int64_t tokens, int64_t stride, int64_t first,
                          int64_t last, std::byte* out) {
  const int64_t token_tiles = whole(tokens, kTokenStep) / kTokenStep;
  for (int64_t k = first; k < last; k += kTileColumns) {
    const __mmask16 words = first_lanes((last - k) / 2);
    for (int64_t v = 0; v < token_tiles; ++v) {
      __m512i block[16];
      for (int64_t i = 0; i < 16; ++i) {
        const int64_t t = 16 * v + i;
        block[i] = _mm512_maskz_loadu_epi32(t < tokens ? words : 0, x + t * stride + k);
      }
      transpose16(block);
      std::byte* tile = out + (k / kTileColumns * token_tiles + v) * kTileBytes;
      for (int64_t i = 0; i < 16; ++i) _mm512_store_si512(tile + 64 * i, block[i]);
    }
  }
}

// The kept columns of kBlockTiles tiles as bits, for each row of a tile.
struct KeptColumns {
  uint32_t bits[kTileRows][kBlockTiles];
};

// The kept set of each position. Position 0, which is invalid, keeps nothing.
inline __m128i sets_of_positions() {
  return _mm_setr_epi8(0, 0, 0, 0, 3, 0, 0, 0, 5, 6, 0, 0, 9, 10, 12, 0);
}

// The tiles from column k on of `rows` rows; missing ones are 0.
inline void read_kept(const Packed24View<bfloat16>& a, int64_t row, int64_t rows, int64_t k,
                      KeptColumns& kept) {
  const int64_t bytes = a.position_bytes() - k / 8;
  const auto present = static_cast<__mmask16>(first_lanes(bytes));
  const __m128i half = _mm_set1_epi8(15);
  for (int64_t r = 0; r < kTileRows; ++r) {
    const uint8_t* at = a.row_positions(row + r) + k / 8;
    const __m128i positions = _mm_maskz_loadu_epi8(r < rows ? present : 0, at);
    const __m128i low = _mm_shuffle_epi8(sets_of_positions(), _mm_and_si128(positions, half));
    const __m128i high =
        _mm_shuffle_epi8(sets_of_positions(), _mm_and_si128(_mm_srli_epi16(positions, 4), half));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(kept.bits[r]),
                     _mm_or_si128(low, _mm_slli_epi16(high, 4)));
  }
}

// A row of kBlockTiles tiles, dense.
inline void expand_tiles(const Packed24View<bfloat16>& a, int64_t row, int64_t rows, int64_t k,
                         int64_t ahead, std::byte* tiles) {
  KeptColumns kept;
  read_kept(a, row, rows, k, kept);
  for (int64_t r = 0; r < kTileRows; ++r) {
    const bfloat16* values = a.row_values(r < rows ? row + r : row) + k / 2;
    prefetch(values, ahead * a.columns);
    prefetch(values + 32, ahead * a.columns);
    if (k % kLineColumns == 0)
      prefetch(a.row_positions(row + r) + k / 8, ahead * a.position_bytes());
    for (int64_t c = 0; c < kBlockTiles; ++c) {
      const int64_t left = (a.columns - k) / 2 - 16 * c;
      const __m256i packed = _mm256_maskz_loadu_epi16(first_lanes(left), values + 16 * c);
      _mm512_store_si512(
          tiles + c * kTileBytes + 64 * r,
          _mm512_maskz_expand_epi16(kept.bits[r][c], _mm512_castsi256_si512(packed)));
    }
  }
}

// The sum of row tile i and token tile v is register 2 i + v; 4, 5 hold x, 6, 7 A. Two row tiles
// use at most two token tiles.
template <int kRowTiles, int kTokenTiles>
inline void multiply_tile(const std::byte* a, const std::byte* x) {
  _tile_loadd(6, a, 64);
  if constexpr (kRowTiles == 2) _tile_loadd(7, a + kBlockTiles * kTileBytes, 64);
  _tile_loadd(4, x, 64);
  _tile_dpbf16ps(0, 6, 4);
  if constexpr (kRowTiles == 2) _tile_dpbf16ps(2, 7, 4);
  if constexpr (kTokenTiles > 1) {
    _tile_loadd(5, x + kTileBytes, 64);
    _tile_dpbf16ps(1, 6, 5);
    if constexpr (kRowTiles == 2) _tile_dpbf16ps(3, 7, 5);
  }
  if constexpr (kTokenTiles > 2) {
    _tile_loadd(4, x + 2 * kTileBytes, 64);
    _tile_dpbf16ps(2, 6, 4);
  }
  if constexpr (kTokenTiles > 3) {
    _tile_loadd(5, x + 3 * kTileBytes, 64);
    _tile_dpbf16ps(3, 6, 5);
  }
}

inline void store_sums(float* sums) {
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + 256, 64);
  _tile_stored(2, sums + 512, 64);
  _tile_stored(3, sums + 768, 64);
  order_memory();
}

// Multiplies kRowTiles times 16 rows, of which `rows` exist, to sums [tokens, kFewRows].
template <int kRowTiles, int kTokenTiles>
void multiply_rows(const Packed24View<bfloat16>& a, int64_t row, int64_t rows, const std::byte* x,
                   int64_t tokens, float* sums) {
  constexpr int64_t kColumns = kBlockTiles * kTileColumns;
  // Two buffers: one is expanded while the other is multiplied.
  alignas(64) std::byte tiles[2][kRowTiles * kBlockTiles * kTileBytes];
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < a.columns; k += kColumns) {
    std::byte* block = tiles[k / kColumns % 2];
    for (int64_t i = 0; i < kRowTiles; ++i) {
      expand_tiles(a, row + kTileRows * i, rows - kTileRows * i, k, kRowTiles * kTileRows,
                   block + i * kBlockTiles * kTileBytes);
    }
    order_memory();
    const int64_t left = (a.columns - k + kTileColumns - 1) / kTileColumns;
    for (int64_t c = 0; c < (left < kBlockTiles ? left : kBlockTiles); ++c) {
      multiply_tile<kRowTiles, kTokenTiles>(block + c * kTileBytes,
                                            x + (k / kTileColumns + c) * kTokenTiles * kTileBytes);
    }
  }
  alignas(64) float by_row[4][kTileRows][16];
  store_sums(by_row[0][0]);
  for (int64_t i = 0; i < kRowTiles; ++i) {
    for (int64_t v = 0; v < kTokenTiles; ++v) {
      __m512i block[16];
      for (int64_t r = 0; r < 16; ++r) block[r] = _mm512_load_si512(by_row[2 * i + v][r]);
      transpose16(block);
      for (int64_t t = 16 * v; t < 16 * v + 16 && t < tokens; ++t) {
        _mm512_store_si512(sums + t * kFewRows + kTileRows * i, block[t % 16]);
      }
    }
  }
}

void multiply(const Packed24View<bfloat16>& a, int64_t row, int64_t rows, const std::byte* x,
              int64_t tokens, float* sums) {
  if (tokens <= kGatherTokens) {
    return few_avx512bf16<bfloat16>().multiply(a, row, rows, x, tokens, sums);
  }
  const int64_t token_tiles = whole(tokens, kTokenStep) / kTokenStep;
  start_tiles();
  for (int64_t r = 0; r<rows; r += token_tiles> 2 ? 16 : 32) {
    switch (token_tiles) {
      case 1:
        multiply_rows<2, 1>(a, row + r, rows - r, x, tokens, sums + r);
        break;
      case 2:
        multiply_rows<2, 2>(a, row + r, rows - r, x, tokens, sums + r);
        break;
      case 3:
        multiply_rows<1, 3>(a, row + r, rows - r, x, tokens, sums + r);
        break;
      default:
        multiply_rows<1, 4>(a, row + r, rows - r, x, tokens, sums + r);
    }
  }
  _tile_release();
}

size_t x_bytes(int64_t tokens, int64_t columns) {
  return tokens <= kGatherTokens ? few_avx512bf16<bfloat16>().x_bytes(tokens, columns)
                                 : x_bytes_in_tiles(tokens, columns);
}

void load(const bfloat16* x, int64_t tokens, int64_t columns, int64_t stride, int64_t first,
          int64_t last, std::byte* out) {
  if (tokens <= kGatherTokens) {
    return few_avx512bf16<bfloat16>().load(x, tokens, columns, stride, first, last, out);
  }
  load_in_tiles(x, tokens, stride, first, last, out);
}

constexpr FewLoops<bfloat16> kLoops = {
    .x_bytes = x_bytes, .load = load, .multiply = multiply, .finish = finish_any<bfloat16>};

}  // namespace

template <>
const FewLoops<float>& few_amx() {
  return few_avx512<float>();
}

template <>
const FewLoops<bfloat16>& few_amx() {
  return kLoops;
}

template <>
const FewLoops<float16>& few_amx() {
  return few_avx512<float16>();
}

}  // namespace twofour::kernels
