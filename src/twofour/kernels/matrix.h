// The kernels on whole matrices, in parallel over rows or fixed blocks. Every result is the same
// for any thread count and instruction set.
#pragma once

#include <cstdint>

#include "twofour/base/random.h"
#include "twofour/kernels/rows.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// β = <w, S(w)> / <S(w), S(w)> over `count` entries (a multiple of 4), sums in double; 1 if S(w) =
/// 0.
double soft_threshold_scale(const float* w, int64_t count);

/// out = scale · S(w) over `count` entries (a multiple of 4); `mask` (ceil(count / 8) bytes, most
/// significant bit first) is compared with the magnitude mask of w and replaced by it.
template <class T>
SoftThresholdSums soft_threshold24(const float* w, int64_t count, float scale, T* out,
                                   uint8_t* mask);

/// Replaces each row of logits [rows, columns] by its gradient, (softmax - onehot(target)) · scale,
/// and returns the sum of -log softmax(row)[target]. NaN and infinite logits give NaN.
template <class T>
double cross_entropy_gradient(T* logits, const int64_t* targets, int64_t rows, int64_t columns,
                              float scale);

/// -log softmax(row)[target] of each row into nll [rows].
template <class T>
void cross_entropy(const T* logits, const int64_t* targets, int64_t rows, int64_t columns,
                   float* nll);

/// out += in.
template <class T>
void accumulate(const T* in, float* out, int64_t count);

}  // namespace twofour::kernels
