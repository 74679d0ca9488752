// GELU and its gradient, as loops that the compiler vectorises.
#pragma once

#include <cstdint>

#include "twofour/kernels/rows/exponential.h"
#include "twofour/kernels/rows/table.h"

namespace twofour::kernels {

/// See gelu.h.
template <class T>
struct GeluTable {
  void (*gelu)(const T* z, int64_t count, T* out);
  void (*gradient)(const T* z, const T* dy, int64_t count, T* dz);
};

namespace {

constexpr float kGeluScale = 2 * 0.7978845608f;  // 2 sqrt(2/π)
constexpr float kGeluCube = 0.044715f;

template <class T>
void gelu_entries(const T* z, int64_t count, T* out) {
  for (int64_t i = 0; i < count; ++i) {
    const float x = to_float(z[i]);
    store(x * logistic(kGeluScale * (x + kGeluCube * x * x * x)), out[i]);
  }
}

template <class T>
void gelu_gradient_entries(const T* z, const T* dy, int64_t count, T* dz) {
  for (int64_t i = 0; i < count; ++i) {
    const float x = to_float(z[i]);
    const float s = logistic(kGeluScale * (x + kGeluCube * x * x * x));
    const float slope = kGeluScale * (1.0f + 3.0f * kGeluCube * x * x), bend = s * (1.0f - s);
    // For large |x| the slope is infinite and the bend is 0.
    store(to_float(dy[i]) * (bend > 0.0f ? s + x * bend * slope : s), dz[i]);
  }
}

template <class T, class F>
constexpr GeluTable<T> kTable<GeluTable<T>, F> = {.gelu = gelu_entries<T>,
                                                  .gradient = gelu_gradient_entries<T>};

}  // namespace
}  // namespace twofour::kernels
