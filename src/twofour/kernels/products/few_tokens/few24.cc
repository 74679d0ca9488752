#include "twofour/kernels/products/few_tokens/few24.h"

#include <algorithm>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/buffer.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/products/few_tokens/few24_loops.h"

namespace twofour::kernels {

template <class T>
const FewLoops<T>& few_loops() {
  if constexpr (kIsX86) {
    if (usable().amx) return few_amx<T>();
    if (usable().avx512_bf16) return few_avx512bf16<T>();
    if (usable().avx512) return few_avx512<T>();
    if (usable().avx2) return few_avx2<T>();
  }
  return few_reference<T>();
}

namespace {

constexpr int64_t kEntriesAtATime = 1 << 15;  // fewer do not pay for a second thread

// The number of units of `unit` entries, in multiples of `step`, that pays for a thread.
int64_t grain_of(int64_t unit, int64_t step) {
  return std::max<int64_t>(1, kEntriesAtATime / std::max<int64_t>(1, unit) / step) * step;
}

// Rows of A as stored.
template <class T>
struct PackedRows {
  const Packed24View<T>& packed;
  int64_t rows = packed.rows, columns = packed.columns;

  template <class Use>
  void with(int64_t first, int64_t, Use&& use) const {
    use(packed, first);
  }
};

// Rows of A, packed on demand into the first caches.
template <class T>
struct DenseRows {
  const T* weight;
  int64_t rows, columns, stride;

  template <class Use>
  void with(int64_t first, int64_t count, Use&& use) const {
    thread_local Packed24<T> packed;
    pack24_into(weight + first * stride, count, columns, stride, nullptr, packed);
    use(packed.view(), 0);
  }
};

template <class T, class Rows>
void multiply_at_most_64(const Rows& a, const T* x, int64_t tokens, int64_t x_stride, T* y,
                         int64_t y_stride, const T* bias) {
  thread_local Buffer<std::byte> prepared;
  const FewLoops<T>& loops = few_loops<T>();
  prepared.resize(loops.x_bytes(tokens, a.columns));
  std::byte* shared = prepared.data();  // of this thread; a worker's own `prepared` is empty
  parallel_for(0, a.columns, grain_of(tokens, kFewColumns), [&](int64_t first, int64_t last) {
    loops.load(x, tokens, a.columns, x_stride, first, last, shared);
  });
  // Strips of a multiple of 16 rows fill whole cache lines of y.
  parallel_for(0, a.rows, grain_of(a.columns, 16), [&](int64_t first, int64_t last) {
    alignas(64) float sums[kFewTokens * kFewRows];
    for (int64_t row = first; row < last; row += kFewRows) {
      const int64_t rows = std::min(kFewRows, last - row);
      a.with(row, rows, [&](const Packed24View<T>& packed, int64_t at) {
        loops.multiply(packed, at, rows, shared, tokens, sums);
      });
      for (int64_t t = 0; t < tokens; ++t) {
        loops.finish(sums + t * kFewRows, rows, bias ? bias + row : nullptr,
                     y + t * y_stride + row);
      }
    }
  });
}

template <class T, class Rows>
void multiply_rows(const Rows& a, const T* x, int64_t tokens, int64_t x_stride, T* y,
                   int64_t y_stride, const T* bias) {
  for (int64_t t = 0; t < tokens; t += kFewTokens) {
    multiply_at_most_64(a, x + t * x_stride, std::min(kFewTokens, tokens - t), x_stride,
                        y + t * y_stride, y_stride, bias);
  }
}

}  // namespace

template <class T>
void multiply_few(const std::type_identity_t<Packed24View<T>>& a, const T* x, int64_t tokens,
                  int64_t x_stride, T* y, int64_t y_stride, const std::type_identity_t<T>* bias) {
  multiply_rows(PackedRows<T>{a}, x, tokens, x_stride, y, y_stride, bias);
}

template <class T>
void multiply_few_packing(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                          const T* x, int64_t tokens, int64_t x_stride, T* y, int64_t y_stride,
                          const std::type_identity_t<T>* bias) {
  try {
    multiply_rows(DenseRows<T>{weight, rows, columns, stride}, x, tokens, x_stride, y, y_stride,
                  bias);
  } catch (const Error&) {
    check24(weight, rows, columns, stride);  // its message counts rows from the first
    throw;
  }
}

#define TWOFOUR_INSTANTIATE(T)                                                                   \
  template const FewLoops<T>& few_loops<T>();                                                    \
  template void multiply_few<T>(const std::type_identity_t<Packed24View<T>>&, const T*, int64_t, \
                                int64_t, T*, int64_t, const std::type_identity_t<T>*);           \
  template void multiply_few_packing<T>(const T*, int64_t, int64_t, int64_t, const T*, int64_t,  \
                                        int64_t, T*, int64_t, const std::type_identity_t<T>*);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
