// Products of one-shot pruning, by chunks of rows. A chunk is multiplied on one thread, so the bits
// are independent of the number of threads.
#pragma once

#include <cstdint>
#include <functional>

#include <ATen/core/Tensor.h>

namespace twofour::sparse {

/// The rows of a chunk; the last one may have fewer.
constexpr int64_t kChunkRows = 64;

/// Calls fn(first, last) for every chunk of `rows` rows, on all threads. multiply() inside uses one
/// thread.
void for_chunks(int64_t rows, const std::function<void(int64_t first, int64_t last)>& fn);

/// c [m, n] = beta c + alpha a b of float32 a [m, k], b [k, n] with any strides; the rows of c are
/// contiguous. Ignores autograd and autocast.
void multiply(const at::Tensor& a, const at::Tensor& b, double alpha, double beta, at::Tensor c);

/// Throws Error unless `weight`, named `what`, is a floating-point matrix; returns it in float32
/// with contiguous rows, without a copy if it is so.
at::Tensor floats_of(const at::Tensor& matrix, const char* what);

/// Throws Error unless `gram` is a floating-point matrix [columns, columns].
void check_gram(const at::Tensor& gram, int64_t columns);

/// Whether every entry of a contiguous float32 matrix is finite.
bool is_finite(const at::Tensor& matrix);

}  // namespace twofour::sparse
