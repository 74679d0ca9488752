#include "twofour/kernels/products/many_tokens/panel24_fill_avx512.h"
#include "twofour/kernels/products/many_tokens/product24_store_avx512.h"

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

template <class T>
constexpr ProductLoops<T> kLoops = {.load_transposed = load_transposed_avx512<T>,
                                    .load_rows = load_rows_avx512<T>,
                                    .multiply = multiply_float<16, 4>,
                                    .store_transposed = store_transposed_avx512<T>,
                                    .add_rows = add_rows_any,
                                    .fill_strip = fill_strip_avx512<T>,
                                    .fill_strip_transposed = fill_strip_transposed_avx512<T>};

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
