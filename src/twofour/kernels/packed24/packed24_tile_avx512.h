// Packing the transposed side with AVX-512: the rows of the packed matrix are the lanes, a group is
// four vectors. The kept values of 16 groups (or 8, of 32-bit entries) are transposed so that each
// row of the packed matrix gets 64 bytes at a time. Everything has internal linkage.
#pragma once

#include "twofour/kernels/packed24/packed24_generic.h"
#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

// Bits 0-3: the position of a kept set; 4 and 5: the first entry is 0, is 1; 6 and 7: the second is
// 3, is 2; 8: overfull.
constexpr int kPositionBits = 15, kFirstIs0 = 16, kFirstIs1 = 32, kSecondIs3 = 64, kSecondIs2 = 128,
              kOverfull = 256;

template <class Word>
struct alignas(64) Choices {
  Word of_set[64 / sizeof(Word)];
};

template <class Word>
constexpr Choices<Word> make_choices() {
  Choices<Word> table{};
  for (uint32_t kept = 0; kept < 16; ++kept) {
    const uint32_t position = position_of_set(filled_set(kept));
    const uint32_t first = position & 3, second = position >> 2;
    table.of_set[kept] =
        static_cast<Word>(kPackTables.position[kept] | (first == 0 ? kFirstIs0 : 0) |
                          (first == 1 ? kFirstIs1 : 0) | (second == 3 ? kSecondIs3 : 0) |
                          (second == 2 ? kSecondIs2 : 0) | (is_overfull(kept) ? kOverfull : 0));
  }
  return table;
}

template <class Word>
constexpr Choices<Word> kChoices = make_choices<Word>();

// One group of as many rows as a vector has words.
struct PackedGroup {
  __m512i first, second, choice;  // choice: the entries of Choices::of_set
};

// The tile after the next one along the row: hardware does not follow so many rows at once. To the
// second-level cache, because rows a power of two apart share a few sets of the first.
template <class Word>
inline void prefetch(const Word* line) {
  _mm_prefetch(reinterpret_cast<const char*>(line + 2 * kPackRows<Word>), _MM_HINT_T1);
}

// Past the caches when asked for and a whole line is written.
inline void store_line(__m512i words, __mmask16 lanes, bool stream, void* out) {
  if (stream && lanes == 0xffff && reinterpret_cast<uintptr_t>(out) % 64 == 0) {
    _mm512_stream_si512(static_cast<__m512i*>(out), words);
  } else {
    _mm512_mask_storeu_epi32(out, lanes, words);
  }
}

template <class Word>
inline uint64_t kept_lanes(const PackTile<Word>& tile, int64_t line, uint64_t lanes) {
  const __m512i bytes = _mm512_maskz_loadu_epi8(lanes, tile.mask + line * tile.mask_stride);
  return _mm512_test_epi8_mask(bytes, bytes);
}

inline PackedGroup pack_group(const PackTile<uint16_t>& tile, int64_t g, uint32_t lanes) {
  __m512i entry[4], kept = _mm512_setzero_si512();
  for (int i = 0; i < 4; ++i) {
    const uint16_t* line = tile.weight + (4 * g + i) * tile.stride;
    prefetch(line);
    entry[i] = _mm512_maskz_loadu_epi16(lanes, line);
    const __mmask32 keeps = tile.mask ? static_cast<__mmask32>(kept_lanes(tile, 4 * g + i, lanes))
                                      : _mm512_test_epi16_mask(entry[i], _mm512_set1_epi16(0x7fff));
    entry[i] = _mm512_maskz_mov_epi16(keeps, entry[i]);
    kept = _mm512_or_si512(kept, _mm512_maskz_set1_epi16(keeps, static_cast<int16_t>(1 << i)));
  }
  const __m512i choice =
      _mm512_permutexvar_epi16(kept, _mm512_load_si512(kChoices<uint16_t>.of_set));
  const auto is = [&](int bit) {
    return _mm512_test_epi16_mask(choice, _mm512_set1_epi16(static_cast<int16_t>(bit)));
  };
  const __m512i first = _mm512_mask_mov_epi16(entry[2], is(kFirstIs1), entry[1]);
  const __m512i second = _mm512_mask_mov_epi16(entry[1], is(kSecondIs2), entry[2]);
  return {_mm512_mask_mov_epi16(first, is(kFirstIs0), entry[0]),
          _mm512_mask_mov_epi16(second, is(kSecondIs3), entry[3]), choice};
}

inline PackedGroup pack_group(const PackTile<uint32_t>& tile, int64_t g, __mmask16 lanes) {
  __m512i entry[4], kept = _mm512_setzero_si512();
  for (int i = 0; i < 4; ++i) {
    const uint32_t* line = tile.weight + (4 * g + i) * tile.stride;
    prefetch(line);
    entry[i] = _mm512_maskz_loadu_epi32(lanes, line);
    const __mmask16 keeps = tile.mask
                                ? static_cast<__mmask16>(kept_lanes(tile, 4 * g + i, lanes))
                                : _mm512_test_epi32_mask(entry[i], _mm512_set1_epi32(0x7fffffff));
    entry[i] = _mm512_maskz_mov_epi32(keeps, entry[i]);
    kept = _mm512_or_si512(kept, _mm512_maskz_set1_epi32(keeps, 1 << i));
  }
  const __m512i choice =
      _mm512_permutexvar_epi32(kept, _mm512_load_si512(kChoices<uint32_t>.of_set));
  const auto is = [&](int bit) { return _mm512_test_epi32_mask(choice, _mm512_set1_epi32(bit)); };
  const __m512i first = _mm512_mask_mov_epi32(entry[2], is(kFirstIs1), entry[1]);
  const __m512i second = _mm512_mask_mov_epi32(entry[1], is(kSecondIs2), entry[2]);
  return {_mm512_mask_mov_epi32(first, is(kFirstIs0), entry[0]),
          _mm512_mask_mov_epi32(second, is(kSecondIs3), entry[3]), choice};
}

// The row that word i of a vector's lower and upper unpacked halves belongs to: unpacking works
// within 128 bits, which hold eight rows.
inline int64_t row_of_half(int64_t i, int64_t half) { return i / 4 * 8 + i % 4 + 4 * half; }

inline void store_values(__m512i (&block)[16], int64_t half, const PackTile<uint16_t>& tile,
                         int64_t rows, int64_t groups) {
  transpose16(block);
  const __mmask16 words = first_lanes(groups);
  for (int64_t i = 0; i < 16; ++i) {
    const int64_t r = row_of_half(i, half);
    if (r < rows) store_line(block[i], words, tile.stream, tile.values + r * tile.value_stride);
  }
}

// bits[k]: in the lane of each row the positions of groups 4 k to 4 k + 3.
inline void store_positions(const __m512i (&bits)[4], const PackTile<uint16_t>& tile, int64_t rows,
                            int64_t groups) {
  alignas(64) uint64_t eight[4][8];
  const __m512i low[2] = {_mm512_unpacklo_epi16(bits[0], bits[1]),
                          _mm512_unpackhi_epi16(bits[0], bits[1])};
  const __m512i high[2] = {_mm512_unpacklo_epi16(bits[2], bits[3]),
                           _mm512_unpackhi_epi16(bits[2], bits[3])};
  for (int half = 0; half < 2; ++half) {
    _mm512_store_si512(eight[2 * half], _mm512_unpacklo_epi32(low[half], high[half]));
    _mm512_store_si512(eight[2 * half + 1], _mm512_unpackhi_epi32(low[half], high[half]));
  }
  const auto bytes = static_cast<size_t>(groups + 1) / 2;
  for (int64_t r = 0; r < rows; ++r) {
    const uint64_t& row = eight[r % 8 / 2][r / 8 * 2 + r % 2];
    uint8_t* out = tile.positions + r * tile.position_stride;
    if (bytes == 8) {
      std::memcpy(out, &row, 8);
    } else {
      std::memcpy(out, &row, bytes);
    }
  }
}

inline bool pack_tile(const PackTile<uint16_t>& tile, int64_t rows, int64_t groups) {
  const uint32_t lanes = rows == 32 ? ~0u : (1u << rows) - 1;
  __m512i low[16] = {}, high[16] = {}, bits[4] = {}, overfull = _mm512_setzero_si512();
  for (int64_t g = 0; g < groups; ++g) {
    const PackedGroup group = pack_group(tile, g, lanes);
    overfull = _mm512_or_si512(overfull, group.choice);
    const __m512i position = _mm512_and_si512(group.choice, _mm512_set1_epi16(kPositionBits));
    bits[g / 4] =
        _mm512_or_si512(bits[g / 4], _mm512_slli_epi16(position, static_cast<unsigned>(g % 4 * 4)));
    low[g] = _mm512_unpacklo_epi16(group.first, group.second);
    high[g] = _mm512_unpackhi_epi16(group.first, group.second);
  }
  store_values(low, 0, tile, rows, groups);
  store_values(high, 1, tile, rows, groups);
  store_positions(bits, tile, rows, groups);
  return _mm512_test_epi16_mask(overfull, _mm512_set1_epi16(kOverfull)) == 0;
}

// Up to eight groups, whose values and positions begin at the tile's.
inline __m512i pack_half_tile(const PackTile<uint32_t>& tile, int64_t rows, int64_t groups) {
  const __mmask16 lanes = first_lanes(rows);
  __m512i block[16] = {}, bits = _mm512_setzero_si512(), overfull = bits;
  for (int64_t g = 0; g < groups; ++g) {
    const PackedGroup group = pack_group(tile, g, lanes);
    overfull = _mm512_or_si512(overfull, group.choice);
    const __m512i position = _mm512_and_si512(group.choice, _mm512_set1_epi32(kPositionBits));
    bits = _mm512_or_si512(bits, _mm512_slli_epi32(position, static_cast<unsigned>(4 * g)));
    block[2 * g] = group.first;
    block[2 * g + 1] = group.second;
  }
  transpose16(block);
  alignas(64) uint32_t row_bits[16];
  _mm512_store_si512(row_bits, bits);
  const __mmask16 words = first_lanes(2 * groups);
  for (int64_t r = 0; r < rows; ++r) {
    store_line(block[r], words, tile.stream, tile.values + r * tile.value_stride);
    uint8_t* out = tile.positions + r * tile.position_stride;
    if (groups == 8) {
      std::memcpy(out, &row_bits[r], 4);
    } else {
      std::memcpy(out, &row_bits[r], static_cast<size_t>(groups + 1) / 2);
    }
  }
  return overfull;
}

inline bool pack_tile(const PackTile<uint32_t>& tile, int64_t rows, int64_t groups) {
  __m512i overfull = _mm512_setzero_si512();
  PackTile<uint32_t> half = tile;
  for (int64_t g = 0; g < groups; g += 8) {
    overfull =
        _mm512_or_si512(overfull, pack_half_tile(half, rows, groups - g < 8 ? groups - g : 8));
    half.weight += 32 * tile.stride;
    if (half.mask) half.mask += 32 * tile.mask_stride;
    half.values += 16;
    half.positions += 4;
  }
  return _mm512_test_epi32_mask(overfull, _mm512_set1_epi32(kOverfull)) == 0;
}

}  // namespace
}  // namespace twofour::kernels
