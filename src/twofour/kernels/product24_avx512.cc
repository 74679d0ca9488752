#include "twofour/kernels/product24_store_avx512.h"

namespace twofour::kernels {
namespace {

template <class T>
void load_transposed_avx512(const T* x, int64_t tokens, int64_t stride, int64_t groups,
                            std::byte* tile) {
  float* out = reinterpret_cast<float*>(tile);
  for (int64_t t = 0; t < tokens; t += 16) {
    for (int64_t k = 0; k < 4 * groups; k += 16) {
      const int64_t columns = 4 * groups - k < 16 ? 4 * groups - k : 16;
      __m512i block[16];
      for (int64_t i = 0; i < 16; ++i) {
        const __mmask16 mask = t + i < tokens ? first_lanes(columns) : 0;
        block[i] = _mm512_castps_si512(load_floats(x + (t + i) * stride + k, mask));
      }
      transpose16(block);
      for (int64_t i = 0; i < columns; ++i) {
        _mm512_store_si512(out + (k + i) * kTileTokens + t, block[i]);
      }
    }
  }
}

template <class T>
void load_rows_avx512(const T* x, int64_t rows, int64_t width, int64_t stride, int64_t groups,
                      std::byte* tile) {
  float* out = reinterpret_cast<float*>(tile);
  for (int64_t k = 0; k < 4 * groups; ++k, out += kTileTokens) {
    for (int64_t n = 0; n < kTileTokens; n += 16) {
      const __mmask16 mask = k < rows ? first_lanes(width - n) : 0;
      _mm512_store_ps(out + n, load_floats(x + k * stride + n, mask));
    }
  }
}

template <int kRow>
inline __m512 broadcast_word(__m512 words) {
  return _mm512_permute_ps(words, kRow * 0x55);
}

template <int kVectors>
inline void multiply_row(const std::byte* x, __m512 word, __m512 (&sum)[kVectors]) {
  for (int j = 0; j < kVectors; ++j) {
    sum[j] = _mm512_fmadd_ps(word, _mm512_load_ps(x + 64 * j), sum[j]);
  }
}

template <int kVectors>
void multiply_floats(const uint32_t* words, const uint16_t* offsets, int64_t groups,
                     const std::byte* tile, float* c) {
  __m512 sum[kQuad][kVectors];
  for (int r = 0; r < kQuad; ++r) {
    for (int j = 0; j < kVectors; ++j) sum[r][j] = _mm512_load_ps(c + r * kTileTokens + 16 * j);
  }
  for (int64_t step = 0; step < 2 * groups; ++step) {
    const __m512 word =
        _mm512_broadcast_f32x4(_mm_load_ps(reinterpret_cast<const float*>(words + kQuad * step)));
    uint64_t offset;  // one load for the four rows: loads are what bounds this loop
    std::memcpy(&offset, offsets + kQuad * step, sizeof offset);
    const std::byte* x = tile + step / 2 * kFloatGroupBytes;
    multiply_row<kVectors>(x + (offset & 0xffff), broadcast_word<0>(word), sum[0]);
    multiply_row<kVectors>(x + (offset >> 16 & 0xffff), broadcast_word<1>(word), sum[1]);
    multiply_row<kVectors>(x + (offset >> 32 & 0xffff), broadcast_word<2>(word), sum[2]);
    multiply_row<kVectors>(x + (offset >> 48), broadcast_word<3>(word), sum[3]);
  }
  for (int r = 0; r < kQuad; ++r) {
    for (int j = 0; j < kVectors; ++j) _mm512_store_ps(c + r * kTileTokens + 16 * j, sum[r][j]);
  }
}

void multiply(const uint32_t* words, const uint16_t* offsets, int64_t groups, const std::byte* tile,
              int64_t vectors, float* c) {
  switch (vectors) {
    case 1:
      return multiply_floats<1>(words, offsets, groups, tile, c);
    case 2:
      return multiply_floats<2>(words, offsets, groups, tile, c);
    case 3:
      return multiply_floats<3>(words, offsets, groups, tile, c);
    default:
      return multiply_floats<4>(words, offsets, groups, tile, c);
  }
}

template <class T>
constexpr ProductLoops<T> kLoops = {
    PanelKind::kFloat, load_transposed_avx512<T>,  load_rows_avx512<T>,
    multiply,          store_transposed_avx512<T>, add_rows_any};

}  // namespace

template <>
const ProductLoops<float>& product_avx512() {
  return kLoops<float>;
}

template <>
const ProductLoops<bfloat16>& product_avx512() {
  return kLoops<bfloat16>;
}

template <>
const ProductLoops<float16>& product_avx512() {
  return kLoops<float16>;
}

}  // namespace twofour::kernels
