// Packing by byte shuffles: the set of kept entries picks a shuffle that moves them together.
#include <immintrin.h>

#include "twofour/kernels/packed24/packed24_generic.h"

namespace twofour::kernels {
namespace {

constexpr uint8_t kZero = 0x80;  // what makes the shuffle write 0

// For the kept sets of kGroups neighbouring groups: the shuffle of their bytes, the byte (or half
// byte) of positions, and whether one keeps more than two.
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

// 16 bytes of weight, two groups of 16-bit entries or one of 32-bit ones, become 8.
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

inline void transpose_block(const uint32_t* in, int64_t stride, uint32_t* out, int64_t out_stride) {
  __m128 row[4];
  for (int i = 0; i < 4; ++i)
    row[i] = _mm_loadu_ps(reinterpret_cast<const float*>(in) + i * stride);
  _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
  for (int i = 0; i < 4; ++i) _mm_storeu_ps(reinterpret_cast<float*>(out) + i * out_stride, row[i]);
}

inline void transpose_block(const uint16_t* in, int64_t stride, uint16_t* out, int64_t out_stride) {
  __m128i a[8], b[8];
  for (int i = 0; i < 8; ++i) {
    a[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i * stride));
  }
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
  }
  for (int half = 0; half < 8; half += 4) {
    a[half] = _mm_unpacklo_epi32(b[half], b[half + 2]);
    a[half + 1] = _mm_unpackhi_epi32(b[half], b[half + 2]);
    a[half + 2] = _mm_unpacklo_epi32(b[half + 1], b[half + 3]);
    a[half + 3] = _mm_unpackhi_epi32(b[half + 1], b[half + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i * out_stride),
                     _mm_unpacklo_epi64(a[i], a[i + 4]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + (2 * i + 1) * out_stride),
                     _mm_unpackhi_epi64(a[i], a[i + 4]));
  }
}

inline void transpose_block(const uint8_t* in, int64_t stride, uint8_t* out, int64_t out_stride) {
  __m128i a[8], b[4];
  for (int i = 0; i < 8; ++i) {
    a[i] = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(in + i * stride));
  }
  for (int i = 0; i < 4; ++i) b[i] = _mm_unpacklo_epi8(a[2 * i], a[2 * i + 1]);
  a[0] = _mm_unpacklo_epi16(b[0], b[1]);
  a[1] = _mm_unpackhi_epi16(b[0], b[1]);
  a[2] = _mm_unpacklo_epi16(b[2], b[3]);
  a[3] = _mm_unpackhi_epi16(b[2], b[3]);
  b[0] = _mm_unpacklo_epi32(a[0], a[2]);
  b[1] = _mm_unpackhi_epi32(a[0], a[2]);
  b[2] = _mm_unpacklo_epi32(a[1], a[3]);
  b[3] = _mm_unpackhi_epi32(a[1], a[3]);
  for (int i = 0; i < 4; ++i) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 2 * i * out_stride), b[i]);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + (2 * i + 1) * out_stride),
                     _mm_unpackhi_epi64(b[i], b[i]));
  }
}

template <class Word>
void transpose_blocks(const Word* in, int64_t rows, int64_t columns, int64_t stride, Word* out,
                      int64_t out_stride) {
  constexpr int64_t kBlock = sizeof(Word) == 4 ? 4 : 8;
  const int64_t whole_rows = rows / kBlock * kBlock, whole_columns = columns / kBlock * kBlock;
  for (int64_t r = 0; r < whole_rows; r += kBlock) {
    for (int64_t c = 0; c < whole_columns; c += kBlock) {
      transpose_block(in + r * stride + c, stride, out + c * out_stride + r, out_stride);
    }
  }
  transpose_entries(in + whole_columns, whole_rows, columns - whole_columns, stride,
                    out + whole_columns * out_stride, out_stride);
  transpose_entries(in + whole_rows * stride, rows - whole_rows, columns, stride, out + whole_rows,
                    out_stride);
}

template <class Word>
constexpr PackLoops<Word> kLoops = {
    pack_row<Word>,
    pack_tile_by_copy<Word, pack_row<Word>, transpose_blocks<Word>, transpose_blocks<uint8_t>>,
    check_groups<Word>};

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
