// Operations on one token's row between two products: norms, rotary angles, activations, the
// residual stream. The bits are independent of the instruction set; rounding follows ATen's
// operators on tensors of T. All run on the calling thread.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// out = (x - mean) / sqrt(variance + epsilon) · weight + bias (Ba et al., arXiv 1607.06450),
/// rounded to T once. out may be x.
template <class T>
void layer_norm(const T* x, int64_t count, const float* weight, const float* bias, float epsilon,
                T* out);

/// out = x / sqrt(mean of x² + epsilon) · weight (Zhang and Sennrich, arXiv 1910.07467), rounded to
/// T once. out may be x.
template <class T>
void rms_norm(const T* x, int64_t count, const float* weight, float epsilon, T* out);

/// Rotates the pairs (i, i + half) of x [2 · half] by angles whose cosines and sines are [half] (Su
/// et al., arXiv 2104.09864). Every product and their sum are rounded to T.
template <class T>
void rotate(T* x, int64_t half, const T* cosine, const T* sine);

/// gate = silu(gate) · up; factors and product are rounded to T (Shazeer, arXiv 2002.05202).
template <class T>
void silu_times(T* gate, const T* up, int64_t count);

/// x += y, rounded to T.
template <class T>
void add(T* x, const T* y, int64_t count);

}  // namespace twofour::kernels
