// bfloat16 with the dot product of pairs: one instruction does a group of four for 16 tokens, where
// dense needs two. The tile holds all six pairs of a group, so that an offset picks the pair.
#include "twofour/kernels/panel24_fill_avx512.h"
#include "twofour/kernels/product24_store_avx512.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kPairGroupBytes = 6 * kSlotBytes;
constexpr __mmask32 kUpperHalves = 0xaaaaaaaa;

// The six pairs of 16 tokens from a = (x0, x1) and b = (x2, x3), to slots 0 to 5.
inline void store_pairs(__m512i a, __m512i b, std::byte* slot) {
  const __m512i first = _mm512_srli_epi32(a, 16), second = _mm512_slli_epi32(b, 16);
  _mm512_store_si512(slot, a);
  _mm512_store_si512(slot + kSlotBytes, _mm512_mask_blend_epi16(kUpperHalves, a, second));
  _mm512_store_si512(slot + 2 * kSlotBytes, _mm512_mask_blend_epi16(kUpperHalves, a, b));
  _mm512_store_si512(slot + 3 * kSlotBytes, _mm512_mask_blend_epi16(kUpperHalves, first, second));
  _mm512_store_si512(slot + 4 * kSlotBytes, _mm512_mask_blend_epi16(kUpperHalves, first, b));
  _mm512_store_si512(slot + 5 * kSlotBytes, b);
}

void load_transposed_pairs(const bfloat16* x, int64_t tokens, int64_t stride, int64_t groups,
                           std::byte* tile) {
  for (int64_t t = 0; t < tokens; t += 16) {
    for (int64_t g = 0; g < groups; g += 8) {
      const int64_t here = groups - g < 8 ? groups - g : 8;
      const __mmask16 mask = first_lanes(2 * here);
      __m512i block[16];
      for (int64_t i = 0; i < 16; ++i) {
        block[i] =
            _mm512_maskz_loadu_epi32(t + i < tokens ? mask : 0, x + (t + i) * stride + 4 * g);
      }
      transpose16(block);
      for (int64_t i = 0; i < here; ++i) {
        store_pairs(block[2 * i], block[2 * i + 1], tile + (g + i) * kPairGroupBytes + 4 * t);
      }
    }
  }
}

void load_rows_pairs(const bfloat16* x, int64_t rows, int64_t width, int64_t stride, int64_t groups,
                     std::byte* tile) {
  for (int64_t g = 0; g < groups; ++g, tile += kPairGroupBytes) {
    for (int64_t n = 0; n < kTileTokens; n += 16) {
      const __mmask16 mask = first_lanes(width - n);
      __m512i row[4];
      for (int64_t i = 0; i < 4; ++i) {
        const bool present = 4 * g + i < rows;
        row[i] = _mm512_cvtepu16_epi32(
            _mm256_maskz_loadu_epi16(present ? mask : 0, x + (4 * g + i) * stride + n));
      }
      const __m512i a = _mm512_or_si512(row[0], _mm512_slli_epi32(row[1], 16));
      const __m512i b = _mm512_or_si512(row[2], _mm512_slli_epi32(row[3], 16));
      store_pairs(a, b, tile + 4 * n);
    }
  }
}

// What a step multiplies: a word of each of four rows, and a vector of the tile.
struct Pairs {
  static constexpr int64_t kSteps = 1, kGroupBytes = kPairGroupBytes;
  static __m512 multiply_add(__m512i word, __m512i x, __m512 sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(word), reinterpret_cast<__m512bh>(x));
  }
};

struct Floats {
  static constexpr int64_t kSteps = 2, kGroupBytes = kFloatGroupBytes;
  static __m512 multiply_add(__m512i word, __m512i x, __m512 sum) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(word), _mm512_castsi512_ps(x), sum);
  }
};

template <class Step, int kRow, int kVectors>
inline void multiply_row(const std::byte* x, __m512i words, __m512 (&sum)[kVectors]) {
  const __m512i word = _mm512_shuffle_epi32(words, static_cast<_MM_PERM_ENUM>(kRow * 0x55));
  for (int j = 0; j < kVectors; ++j) {
    sum[j] = Step::multiply_add(word, _mm512_load_si512(x + 64 * j), sum[j]);
  }
}

template <class Step, int kVectors>
void multiply_quad(const uint32_t* words, const uint16_t* offsets, int64_t groups,
                   const std::byte* tile, float* c) {
  __m512 sum[kQuad][kVectors];
  for (int r = 0; r < kQuad; ++r) {
    for (int j = 0; j < kVectors; ++j) sum[r][j] = _mm512_load_ps(c + r * kTileTokens + 16 * j);
  }
  for (int64_t g = 0; g < groups; ++g, tile += Step::kGroupBytes) {
    for (int64_t step = 0; step < Step::kSteps; ++step, words += kQuad, offsets += kQuad) {
      const __m512i word =
          _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(words)));
      uint64_t offset;  // one load for the four rows: loads are what bounds this loop
      std::memcpy(&offset, offsets, sizeof offset);
      multiply_row<Step, 0>(tile + (offset & 0xffff), word, sum[0]);
      multiply_row<Step, 1>(tile + (offset >> 16 & 0xffff), word, sum[1]);
      multiply_row<Step, 2>(tile + (offset >> 32 & 0xffff), word, sum[2]);
      multiply_row<Step, 3>(tile + (offset >> 48), word, sum[3]);
    }
  }
  for (int r = 0; r < kQuad; ++r) {
    for (int j = 0; j < kVectors; ++j) _mm512_store_ps(c + r * kTileTokens + 16 * j, sum[r][j]);
  }
}

template <class Step>
void multiply(const uint32_t* words, const uint16_t* offsets, int64_t groups, const std::byte* tile,
              int64_t vectors, float* c) {
  switch (vectors) {
    case 1:
      return multiply_quad<Step, 1>(words, offsets, groups, tile, c);
    case 2:
      return multiply_quad<Step, 2>(words, offsets, groups, tile, c);
    case 3:
      return multiply_quad<Step, 3>(words, offsets, groups, tile, c);
    default:
      return multiply_quad<Step, 4>(words, offsets, groups, tile, c);
  }
}

constexpr ProductLoops<bfloat16> kLoops = {PanelKind::kBfloat16Pairs,
                                           load_transposed_pairs,
                                           load_rows_pairs,
                                           multiply<Pairs>,
                                           store_transposed_avx512<bfloat16>,
                                           add_rows_any,
                                           fill_strip_avx512<bfloat16>,
                                           fill_strip_transposed_avx512<bfloat16>};

// The CPUs of this set have pipes of their own for shuffles, so that words cost no loads. On those
// with fused multiply-adds and shuffles on one port (Intel's), product24_avx512.cc is faster.
template <class T>
ProductLoops<T> with_shuffled_words() {
  ProductLoops<T> loops = product_avx512<T>();
  loops.multiply = multiply<Floats>;
  return loops;
}

}  // namespace

template <>
const ProductLoops<float>& product_avx512bf16() {
  static const ProductLoops<float> kFloatLoops = with_shuffled_words<float>();
  return kFloatLoops;
}

template <>
const ProductLoops<bfloat16>& product_avx512bf16() {
  return kLoops;
}

template <>
const ProductLoops<float16>& product_avx512bf16() {
  static const ProductLoops<float16> kHalfLoops = with_shuffled_words<float16>();
  return kHalfLoops;
}

}  // namespace twofour::kernels
