// SparseGPT's column loop (arXiv 2301.00774, algorithm 1) on one block of columns, with the factor
// R of the damped Hessian H = R Rᵀ (upper triangular) in place of the paper's U = R⁻¹. With D the
// difference between the dense and the pruned weights, row j of the paper's errors is that of D R.
// The weights that algorithm 1 has updated before column j therefore follow from D R of the columns
// before j, which is a plain product, and from the small inverses of R's diagonal groups.
#pragma once

#include <cstdint>

#include "twofour/kernels/buffer.h"

namespace twofour::kernels {

/// Rows of a weight in one call are a multiple of this.
constexpr int64_t kRowsOfColumnLoop = 16;

/// The most columns of a group.
constexpr int kMostColumnsOfGroup = 8;

/// One diagonal block of R, with the inverse of each of its diagonal groups of `group` columns (the
/// last may be narrower).
class ColumnBlock {
 public:
  /// `r` is the block's first entry, with rows `stride` apart.
  ColumnBlock(const float* r, int64_t stride, int64_t columns, int group);

  int64_t columns() const { return columns_; }
  int group() const { return group_; }
  /// [columns, columns]
  const float* r() const { return r_.data(); }
  /// [columns, kMostColumnsOfGroup]: row j is that of column j in the inverse of its group.
  const float* inverse() const { return inverse_.data(); }

 private:
  int64_t columns_;
  int group_;
  Buffer<float> r_, inverse_;
};

/// Prunes the columns of one block. All matrices are [columns, rows], contiguous.
///
/// weight: in, dense; out, pruned. shift: in, the rows of D R that the columns before the block
/// contribute; overwritten. keep: 1 = kept, 0 = removed; chosen here if kept > 0, namely the `kept`
/// largest updated weights |w_j| R_jj of every group, of equals the later; given otherwise.
/// difference: out, D. Keeping everything gives the weights that algorithm 1 has updated before the
/// block. The bits are independent of instruction set and of the other rows.
void prune_columns(const ColumnBlock& block, int kept, int64_t rows, float* weight, float* shift,
                   float* keep, float* difference);

}  // namespace twofour::kernels
