#include "twofour/cli/bench/rowwise.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"

namespace twofour::cli {
namespace {

using kernels::bfloat16;
using kernels::float16;
using kernels::InstructionSet;

template <class T>
float dot_plain(const T* a, const T* b, int64_t count) {
  float sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int k = 0; k < 8; ++k)
      sums[k] += kernels::to_float(a[i + k]) * kernels::to_float(b[i + k]);
  }
  for (; i < count; ++i) sums[0] += kernels::to_float(a[i]) * kernels::to_float(b[i]);
  float total = 0;
  for (const float sum : sums) total += sum;
  return total;
}

#if defined(__x86_64__)

#define TWOFOUR_TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#define TWOFOUR_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")))
#define TWOFOUR_TARGET_BF16 \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,f16c")))

TWOFOUR_TARGET_AVX2 inline __m256 load8(const float* from) { return _mm256_loadu_ps(from); }
TWOFOUR_TARGET_AVX2 inline __m256 load8(const float16* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
TWOFOUR_TARGET_AVX2 inline __m256 load8(const bfloat16* from) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

template <class T>
TWOFOUR_TARGET_AVX2 float dot_avx2(const T* a, const T* b, int64_t count) {
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                    _mm256_setzero_ps()};
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    for (int k = 0; k < 4; ++k) {
      sums[k] = _mm256_fmadd_ps(load8(a + i + 8 * k), load8(b + i + 8 * k), sums[k]);
    }
  }
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes,
                  _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
  float total = dot_plain(a + i, b + i, count - i);
  for (const float lane : lanes) total += lane;
  return total;
}

TWOFOUR_TARGET_AVX512 inline __m512 load16(const float* from) { return _mm512_loadu_ps(from); }
TWOFOUR_TARGET_AVX512 inline __m512 load16(const float16* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
TWOFOUR_TARGET_AVX512 inline __m512 load16(const bfloat16* from) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

template <class T>
TWOFOUR_TARGET_AVX512 float dot_avx512(const T* a, const T* b, int64_t count) {
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                    _mm512_setzero_ps()};
  int64_t i = 0;
  for (; i + 64 <= count; i += 64) {
    for (int k = 0; k < 4; ++k) {
      sums[k] = _mm512_fmadd_ps(load16(a + i + 16 * k), load16(b + i + 16 * k), sums[k]);
    }
  }
  const __m512 sum =
      _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
  return _mm512_reduce_add_ps(sum) + dot_plain(a + i, b + i, count - i);
}

TWOFOUR_TARGET_BF16 inline __m512bh load32(const bfloat16* from) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(from));
}

TWOFOUR_TARGET_BF16 float dot_bfloat16(const bfloat16* a, const bfloat16* b, int64_t count) {
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                    _mm512_setzero_ps()};
  int64_t i = 0;
  for (; i + 128 <= count; i += 128) {
    for (int k = 0; k < 4; ++k) {
      sums[k] = _mm512_dpbf16_ps(sums[k], load32(a + i + 32 * k), load32(b + i + 32 * k));
    }
  }
  const __m512 sum =
      _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
  return _mm512_reduce_add_ps(sum) + dot_plain(a + i, b + i, count - i);
}

#endif

template <class T>
using Dot = float (*)(const T* a, const T* b, int64_t count);

template <class T>
Dot<T> best_dot() {
#if defined(__x86_64__)
  const InstructionSet set = kernels::best_instruction_set();
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (set >= InstructionSet::kAvx512Bf16) return dot_bfloat16;
  }
  if (set >= InstructionSet::kAvx512) return dot_avx512<T>;
  if (set >= InstructionSet::kAvx2) return dot_avx2<T>;
#endif
  return dot_plain<T>;
}

}  // namespace

template <class T>
void multiply_rowwise(const T* weight, const T* x, int64_t rows, int64_t columns, int64_t tokens,
                      T* y) {
  const Dot<T> dot = best_dot<T>();
  parallel_for(0, rows, /*grain=*/16, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      for (int64_t token = 0; token < tokens; ++token) {
        kernels::store(dot(weight + row * columns, x + token * columns, columns),
                       y[token * rows + row]);
      }
    }
  });
}

template void multiply_rowwise(const float*, const float*, int64_t, int64_t, int64_t, float*);
template void multiply_rowwise(const bfloat16*, const bfloat16*, int64_t, int64_t, int64_t,
                               bfloat16*);
template void multiply_rowwise(const float16*, const float16*, int64_t, int64_t, int64_t, float16*);

}  // namespace twofour::cli
