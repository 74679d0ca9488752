// The loss of a language model over rows of logits. Results are independent of thread count and
// instruction set.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// Replaces each row of logits [rows, columns] by its gradient, (softmax - onehot(target)) · scale,
/// and returns the sum of -log softmax(row)[target]. NaN and infinite logits give NaN.
template <class T>
double cross_entropy_gradient(T* logits, const int64_t* targets, int64_t rows, int64_t columns,
                              float scale);

/// Writes -log softmax(row)[target] of each row to nll [rows].
template <class T>
void cross_entropy(const T* logits, const int64_t* targets, int64_t rows, int64_t columns,
                   float* nll);

}  // namespace twofour::kernels
