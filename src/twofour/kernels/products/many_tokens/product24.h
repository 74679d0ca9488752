// Products of a 2:4 sparse matrix with many dense vectors: half the multiplications of the dense
// product. docs/kernels.md tells how they work and how far from the hardware's limit they are.
#pragma once

#include <cstdint>

#include "twofour/kernels/products/many_tokens/panel24.h"

namespace twofour::kernels {

/// What happens to a sum before it is rounded to T: + bias, then the activation.
enum class Activation {
  kNone,
  kGelu,      ///< GELU, tanh form: 0.5 z (1 + tanh(sqrt(2/π) (z + 0.044715 z³)))
  kSiluTimes  ///< silu(other) * z, the SwiGLU of LLaMA with z = x Upᵀ and other = x Gateᵀ
};

template <class T>
struct Epilogue {
  const T* bias = nullptr;  ///< [rows of the panel], or null
  Activation activation = Activation::kNone;
  const T* other = nullptr;  ///< kSiluTimes: [tokens, rows], rows `other_stride` entries apart
  int64_t other_stride = 0;
};

/// The same epilogue with its pointers at a later token and row.
template <class T>
Epilogue<T> at_offset(Epilogue<T> epilogue, int64_t token, int64_t row) {
  if (epilogue.bias) epilogue.bias += row;
  if (epilogue.other) epilogue.other += token * epilogue.other_stride + row;
  return epilogue;
}

/// y [tokens, rows] = epilogue(x Aᵀ) of x [tokens, columns] and A [rows, columns] (the panel, of
/// kind panel_kind<T>()). Sums in float32; x, y rows `x_stride`, `y_stride` entries apart. y is the
/// same for any thread count. y and x must not overlap.
template <class T>
void multiply_transposed(const Panel24& a, const T* x, int64_t tokens, int64_t x_stride, T* y,
                         int64_t y_stride, const Epilogue<T>& epilogue = {});

/// y [rows, width] += A x of x [columns, width] in float32.
template <class T>
void multiply_add(const Panel24& a, const T* x, int64_t width, int64_t x_stride, float* y,
                  int64_t y_stride);

}  // namespace twofour::kernels
