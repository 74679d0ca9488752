// Packing by byte shuffles: each set of kept entries selects a shuffle that joins them.
#include <immintrin.h>

#include "twofour/kernels/packed24/packed24_generic.h"

namespace twofour::kernels {
namespace {

constexpr uint8_t kZero = 0x80;  // this index makes the shuffle write 0

// For the kept sets of kGroups neighbouring groups: the byte shuffle, the byte (or half byte) of
// positions, and whether a group keeps more than two.
template <class Word, int kGroups>
struct ShuffleTable {
  uint64_t shuffle[1 << 4 * kGroups];
  uint8_t positions[1 << 4 * kGroups], overfull[1 << 4 * kGroups];
};

template <class Word, int kGroups>
constexpr ShuffleTable<Word, kGroups> make_shuffles() {
  ShuffleTable<Word, kGroups> table{};
  for (uint32_t kept = 0; kept < 1u << 4 * kGroups; ++kept) {
    uint32_t out = 0;
    for (uint32_t g = 0; g < kGroups; ++g) {
      const uint32_t own = kept >> 4 * g & 15, filled = kPackTables.filled[own];
      table.positions[kept] =
          static_cast<uint8_t>(table.positions[kept] | kPackTables.position[own] << 4 * g);
      table.overfull[kept] |= kPackTables.overfull[own];
      for (uint32_t i = 0; i < 4; ++i) {
        if (!(filled >> i & 1)) continue;
        for (uint32_t b = 0; b < sizeof(Word); ++b, ++out) {
          const uint64_t from = own >> i & 1 ? (4 * g + i) * sizeof(Word) + b : kZero;
          table.shuffle[kept] |= from << 8 * out;
        }
      }
    }
  }
  return table;
}

template <class Word, int kGroups>
constexpr ShuffleTable<Word, kGroups> kShuffles = make_shuffles<Word, kGroups>();

inline uint32_t not_zero(__m128i words, uint16_t) {
  const __m128i magnitude = _mm_and_si128(words, _mm_set1_epi16(0x7fff));
  const __m128i zero = _mm_cmpeq_epi16(magnitude, _mm_setzero_si128());
  return ~static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(zero, zero))) & 0xff;
}
inline uint32_t not_zero(__m128i words, uint32_t) {
  const __m128i magnitude = _mm_and_si128(words, _mm_set1_epi32(0x7fffffff));
  const __m128i zero = _mm_cmpeq_epi32(magnitude, _mm_setzero_si128());
  return ~static_cast<uint32_t>(_mm_movemask_ps(_mm_castsi128_ps(zero))) & 0xf;
}

template <int kEntries>
inline uint32_t kept_by(const uint8_t* mask) {
  uint64_t bytes = 0;
  std::memcpy(&bytes, mask, kEntries);
  const __m128i zero =
      _mm_cmpeq_epi8(_mm_cvtsi64_si128(static_cast<int64_t>(bytes)), _mm_setzero_si128());
  return ~static_cast<uint32_t>(_mm_movemask_epi8(zero)) & ((1u << kEntries) - 1);
}

// Packs 16 bytes of weight, two groups of 16-bit entries or one of 32-bit ones, into 8.
template <class Word>
inline uint32_t pack_16_bytes(const Word* weight, const uint8_t* mask, Word* values,
                              uint32_t& overfull) {
  constexpr int kGroups = 4 / static_cast<int>(sizeof(Word));
  const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(weight));
  const uint32_t kept = mask ? kept_by<4 * kGroups>(mask) : not_zero(words, Word{});
  const auto& table = kShuffles<Word, kGroups>;
  const __m128i shuffle = _mm_cvtsi64_si128(static_cast<int64_t>(table.shuffle[kept]));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(values), _mm_shuffle_epi8(words, shuffle));
  overfull |= table.overfull[kept];
  return table.positions[kept];
}

template <class Word>
bool pack_row(const Word* weight, const uint8_t* mask, int64_t groups, Word* values,
              uint8_t* positions) {
  uint32_t overfull = 0;
  const auto mask_at = [&](int64_t g) { return mask ? mask + 4 * g : nullptr; };
  int64_t g = 0;
  for (; g + 2 <= groups; g += 2) {
    uint32_t both = pack_16_bytes(weight + 4 * g, mask_at(g), values + 2 * g, overfull);
    if (sizeof(Word) == 4) {
      both |= pack_16_bytes(weight + 4 * g + 4, mask_at(g + 1), values + 2 * g + 2, overfull) << 4;
    }
    positions[g / 2] = static_cast<uint8_t>(both);
  }
  const bool rest =
      pack_groups(weight + 4 * g, mask_at(g), groups - g, values + 2 * g, positions + g / 2);
  return overfull == 0 && rest;
}

template <class Word>
constexpr PackLoops<Word> kLoops = {.row = pack_row<Word>, .check = check_groups<Word>};

}  // namespace

template <>
const PackLoops<uint16_t>& pack_avx2() {
  return kLoops<uint16_t>;
}

template <>
const PackLoops<uint32_t>& pack_avx2() {
  return kLoops<uint32_t>;
}

}  // namespace twofour::kernels
