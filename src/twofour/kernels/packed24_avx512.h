// Packing with AVX-512, but for what depends on VBMI2: compress_words() of the including file, which
// moves the 32-bit or 16-bit words of a vector's set lanes together and stores them.
//
// A row is packed 128 groups at a time: the sets of kept entries of all, then their filled sets and
// positions by one table look-up, then the entries. Everything has internal linkage.
#pragma once

#include "twofour/kernels/avx512.h"
#include "twofour/kernels/packed24_generic.h"

namespace twofour::kernels {
namespace {

void compress_words(__m512i words, uint32_t lanes, uint16_t* out);
void compress_words(__m512i words, uint32_t lanes, uint32_t* out);

constexpr int64_t kRunGroups = 128;

inline __m512i table_of(const uint8_t (&bytes)[16]) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
}

// The kept sets of 16 groups, four bits each.
inline uint64_t kept_sets(const uint16_t* weight) {
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  const __mmask32 low = _mm512_test_epi16_mask(_mm512_loadu_si512(weight), magnitude);
  const __mmask32 high = _mm512_test_epi16_mask(_mm512_loadu_si512(weight + 32), magnitude);
  return uint64_t{high} << 32 | low;
}
inline uint64_t kept_sets(const uint32_t* weight) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  uint64_t sets = 0;
  for (int i = 0; i < 4; ++i) {
    const __mmask16 part = _mm512_test_epi32_mask(_mm512_loadu_si512(weight + 16 * i), magnitude);
    sets |= uint64_t{part} << 16 * i;
  }
  return sets;
}
inline uint64_t kept_sets(const uint8_t* mask) {
  const __m512i bytes = _mm512_loadu_si512(mask);
  return _mm512_test_epi8_mask(bytes, bytes);
}

// The values of 16 groups; an entry that only fills a group up is not in `kept` and becomes 0.
inline void pack_entries(const uint16_t* weight, uint64_t kept, uint64_t filled, uint16_t* values) {
  for (int i = 0; i < 2; ++i, kept >>= 32, filled >>= 32) {
    const __m512i words =
        _mm512_maskz_loadu_epi16(static_cast<__mmask32>(kept), weight + 32 * i);
    compress_words(words, static_cast<uint32_t>(filled), values + 16 * i);
  }
}
inline void pack_entries(const uint32_t* weight, uint64_t kept, uint64_t filled, uint32_t* values) {
  for (int i = 0; i < 4; ++i, kept >>= 16, filled >>= 16) {
    const __m512i words =
        _mm512_maskz_loadu_epi32(static_cast<__mmask16>(kept), weight + 16 * i);
    compress_words(words, static_cast<uint32_t>(filled) & 0xffff, values + 8 * i);
  }
}

// One table entry for each of the 128 half bytes.
inline __m512i look_up(__m512i table, __m512i low, __m512i high) {
  return _mm512_or_si512(_mm512_shuffle_epi8(table, low),
                         _mm512_slli_epi16(_mm512_shuffle_epi8(table, high), 4));
}

template <class Word>
bool pack_row(const Word* weight, const uint8_t* mask, int64_t groups, Word* values,
              uint8_t* positions) {
  const __m512i half = _mm512_set1_epi8(15), filled_table = table_of(kPackTables.filled);
  const __m512i position_table = table_of(kPackTables.position);
  const __m512i overfull_table = table_of(kPackTables.overfull);
  __m512i overfull = _mm512_setzero_si512();
  int64_t g = 0;
  for (; g + kRunGroups <= groups; g += kRunGroups) {
    const Word* entries = weight + 4 * g;
    alignas(64) uint64_t kept[8], filled[8];
    for (int i = 0; i < 8; ++i) {
      kept[i] = mask ? kept_sets(mask + 4 * g + 64 * i) : kept_sets(entries + 64 * i);
    }
    const __m512i sets = _mm512_load_si512(kept);
    const __m512i low = _mm512_and_si512(sets, half);
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(sets, 4), half);
    overfull = _mm512_or_si512(overfull, look_up(overfull_table, low, high));
    _mm512_store_si512(filled, look_up(filled_table, low, high));
    _mm512_storeu_si512(positions + g / 2, look_up(position_table, low, high));
    for (int i = 0; i < 8; ++i) {
      pack_entries(entries + 64 * i, kept[i], filled[i], values + 2 * g + 32 * i);
    }
  }
  const bool rest = pack_groups(weight + 4 * g, mask ? mask + 4 * g : nullptr, groups - g,
                                values + 2 * g, positions + g / 2);
  return _mm512_test_epi8_mask(overfull, overfull) == 0 && rest;
}

inline __m512i load_words(const uint16_t* words, __mmask16 lanes) {
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, words));
}
inline __m512i load_words(const uint32_t* words, __mmask16 lanes) {
  return _mm512_maskz_loadu_epi32(lanes, words);
}

// Bits 0-3 of an entry: the position of the kept set; 4 and 5: the first entry is 0, is 1; 6 and 7:
// the second is 3, is 2; 8: overfull.
constexpr uint32_t kFirstIs0 = 16, kFirstIs1 = 32, kSecondIs3 = 64, kSecondIs2 = 128,
                   kOverfull = 256;

struct alignas(64) Choices {
  uint32_t of_set[16];
};

constexpr Choices make_choices() {
  Choices table{};
  for (uint32_t kept = 0; kept < 16; ++kept) {
    const uint32_t position = position_of_set(filled_set(kept));
    const uint32_t first = position & 3, second = position >> 2;
    table.of_set[kept] = kPackTables.position[kept] | (first == 0 ? kFirstIs0 : 0) |
                  (first == 1 ? kFirstIs1 : 0) | (second == 3 ? kSecondIs3 : 0) |
                  (second == 2 ? kSecondIs2 : 0) | (is_overfull(kept) ? kOverfull : 0);
  }
  return table;
}
constexpr Choices kChoices = make_choices();

// A group of 16 rows of the packed matrix: its two values and its entry of kChoices.of_set.
struct Group16 {
  __m512i first, second, choice;
};

template <class Word>
inline Group16 pack_column(const PackTile<Word>& tile, int64_t g, __mmask16 lanes) {
  const __m512i magnitude = _mm512_set1_epi32(sizeof(Word) == 2 ? 0x7fff : 0x7fffffff);
  __m512i entry[4], kept = _mm512_setzero_si512();
  for (int64_t i = 0; i < 4; ++i) {
    entry[i] = load_words(tile.weight + (4 * g + i) * tile.stride, lanes);
    __mmask16 keeps;
    if (tile.mask) {
      const uint8_t* bytes = tile.mask + (4 * g + i) * tile.mask_stride;
      const __m128i mask = _mm_maskz_loadu_epi8(lanes, bytes);
      keeps = _mm_test_epi8_mask(mask, mask);
    } else {
      keeps = _mm512_test_epi32_mask(entry[i], magnitude);
    }
    entry[i] = _mm512_maskz_mov_epi32(keeps, entry[i]);
    kept = _mm512_mask_or_epi32(kept, keeps, kept, _mm512_set1_epi32(1 << i));
  }
  const __m512i choice = _mm512_permutexvar_epi32(kept, _mm512_load_si512(kChoices.of_set));
  const auto is = [&](uint32_t bit) {
    return _mm512_test_epi32_mask(choice, _mm512_set1_epi32(static_cast<int>(bit)));
  };
  const __m512i first = _mm512_mask_mov_epi32(entry[2], is(kFirstIs1), entry[1]);
  const __m512i second = _mm512_mask_mov_epi32(entry[1], is(kSecondIs2), entry[2]);
  return {_mm512_mask_mov_epi32(first, is(kFirstIs0), entry[0]),
          _mm512_mask_mov_epi32(second, is(kSecondIs3), entry[3]), choice};
}

// Stores what transposing leaves: 64 bytes of values a row.
template <class Word>
inline void store_rows(__m512i (&block)[16], const PackTile<Word>& tile, int64_t g, int64_t rows,
                       int64_t groups) {
  transpose16(block);
  const __mmask16 words = first_lanes((groups - g) * 2 * static_cast<int64_t>(sizeof(Word)) / 4);
  for (int64_t r = 0; r < rows; ++r) {
    _mm512_mask_storeu_epi32(tile.values + r * tile.value_stride + 2 * g, words, block[r]);
  }
}

// The four bytes of positions of eight groups a row, from group g on.
template <class Word>
inline void store_positions(__m512i bits, const PackTile<Word>& tile, int64_t g, int64_t rows,
                            int64_t groups) {
  alignas(64) uint32_t row_bits[16];
  _mm512_store_si512(row_bits, bits);
  const int64_t bytes = groups - g >= 8 ? 4 : (groups - g + 1) / 2;
  for (int64_t r = 0; r < rows; ++r) {
    uint8_t* out = tile.positions + r * tile.position_stride + g / 2;
    if (bytes == 4) {
      std::memcpy(out, &row_bits[r], 4);
    } else {
      std::memcpy(out, &row_bits[r], static_cast<size_t>(bytes));
    }
  }
}

template <class Word>
bool pack_tile(const PackTile<Word>& tile, int64_t rows, int64_t groups) {
  constexpr int64_t kVectors = sizeof(Word) / 2;  // vectors of a group in a block
  constexpr int64_t kBlockGroups = 16 / kVectors;
  const __mmask16 lanes = first_lanes(rows);
  __m512i overfull = _mm512_setzero_si512();
  for (int64_t g = 0; g < groups; g += kBlockGroups) {
    __m512i block[16], bits[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (int64_t k = 0; k < kBlockGroups; ++k) {
      Group16 group = {};
      if (g + k < groups) group = pack_column(tile, g + k, lanes);
      overfull = _mm512_or_si512(overfull, group.choice);
      const __m512i position = _mm512_and_si512(group.choice, _mm512_set1_epi32(15));
      bits[k / 8] = _mm512_or_si512(
          bits[k / 8], _mm512_slli_epi32(position, static_cast<unsigned>(k % 8 * 4)));
      if (kVectors == 1) {
        block[k] = _mm512_or_si512(group.first, _mm512_slli_epi32(group.second, 16));
      } else {
        block[2 * k] = group.first;
        block[2 * k + 1] = group.second;
      }
    }
    store_rows(block, tile, g, rows, groups);
    for (int64_t part = 0; part < kBlockGroups / 8 && g + 8 * part < groups; ++part) {
      store_positions(bits[part], tile, g + 8 * part, rows, groups);
    }
  }
  return _mm512_test_epi32_mask(overfull, _mm512_set1_epi32(kOverfull)) == 0;
}

template <class Word>
constexpr PackLoops<Word> kLoops = {pack_row<Word>, pack_tile<Word>};

inline void compress_words(__m512i words, uint32_t lanes, uint32_t* out) {
  const __m512i packed = _mm512_maskz_compress_epi32(static_cast<__mmask16>(lanes), words);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(packed));
}

}  // namespace
}  // namespace twofour::kernels
