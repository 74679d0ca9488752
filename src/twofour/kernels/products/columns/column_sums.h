// The product that SparseGPT's column loop spends its time on (pruning/column_loop.h).
#pragma once

#include <cstdint>

#include "twofour/kernels/buffer.h"

namespace twofour::kernels {

constexpr int64_t kColumnsOfSlice = 8;

/// A matrix [depth, columns] in slices of kColumnsOfSlice columns, the last padded with zeros.
class ColumnSlices {
 public:
  /// Copies `matrix`, with rows `stride` apart.
  ColumnSlices(const float* matrix, int64_t stride, int64_t depth, int64_t columns);

  int64_t depth() const { return depth_; }
  int64_t columns() const { return columns_; }
  /// Slice i: [depth, kColumnsOfSlice].
  const float* slice(int64_t i) const { return data_.data() + i * depth_ * kColumnsOfSlice; }

 private:
  int64_t depth_, columns_;
  Buffer<float> data_;
};

/// out [columns, rows] = mᵀ x of a matrix m [depth, columns] and x [depth, rows], contiguous. rows
/// is a multiple of 32. Multiply-adds may be fused, so instruction sets differ in the last bits.
void column_sums(const ColumnSlices& m, const float* x, int64_t rows, float* out);

/// The same of one instruction set.
void column_sums_reference(const ColumnSlices& m, const float* x, int64_t rows, float* out);
void column_sums_avx2(const ColumnSlices& m, const float* x, int64_t rows, float* out);
void column_sums_avx512(const ColumnSlices& m, const float* x, int64_t rows, float* out);

}  // namespace twofour::kernels
