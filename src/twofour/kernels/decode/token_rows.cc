#include "twofour/kernels/decode/token_rows.h"

#include "twofour/kernels/decode/token_rows_table.h"

namespace twofour::kernels {

template <class T>
void layer_norm(const T* x, int64_t count, const float* weight, const float* bias, float epsilon,
                T* out) {
  table<TokenRowsTable<T>>().layer_norm(x, count, weight, bias, epsilon, out);
}

template <class T>
void rms_norm(const T* x, int64_t count, const float* weight, float epsilon, T* out) {
  table<TokenRowsTable<T>>().rms_norm(x, count, weight, epsilon, out);
}

template <class T>
void rotate(T* x, int64_t half, const T* cosine, const T* sine) {
  table<TokenRowsTable<T>>().rotate(x, half, cosine, sine);
}

template <class T>
void silu_times(T* gate, const T* up, int64_t count) {
  table<TokenRowsTable<T>>().silu_times(gate, up, count);
}

template <class T>
void add(T* x, const T* y, int64_t count) {
  table<TokenRowsTable<T>>().add(x, y, count);
}

#define TWOFOUR_INSTANTIATE(T)                                                           \
  template void layer_norm<T>(const T*, int64_t, const float*, const float*, float, T*); \
  template void rms_norm<T>(const T*, int64_t, const float*, float, T*);                 \
  template void rotate<T>(T*, int64_t, const T*, const T*);                              \
  template void silu_times<T>(T*, const T*, int64_t);                                    \
  template void add<T>(T*, const T*, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
