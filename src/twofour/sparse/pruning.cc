#include "twofour/sparse/pruning.h"

#include <algorithm>
#include <cmath>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>

#include "twofour/base/error.h"
#include "twofour/kernels/products/columns/column_sums.h"
#include "twofour/kernels/pruning/column_loop.h"
#include "twofour/kernels/pruning/select.h"
#include "twofour/sparse/pruning_products.h"

namespace twofour::sparse {
namespace {

constexpr int64_t kGroupOfGivenMask = 8;

static_assert(kChunkRows % kernels::kRowsOfColumnLoop == 0);

// Rows are padded to a whole chunk, with zeros. Of a chunk all matrices are transposed, so that
// vectors hold rows.
class ColumnLoop {
 public:
  ColumnLoop(const at::Tensor& weight, const HessianFactor& factor, const Pattern& pattern,
             const at::Tensor& mask)
      : r_(factor.r), pattern_(pattern), has_mask_(mask.defined()) {
    weight_ = at::empty(weight.sizes(), at::TensorOptions().dtype(at::kFloat));
    weight_.copy_(weight).masked_fill_(factor.is_dead, 0);
    mask_ = has_mask_ ? mask.to(at::kBool, /*non_blocking=*/false, /*copy=*/true).contiguous()
                      : at::empty(weight.sizes(), at::TensorOptions().dtype(at::kBool));
    const int64_t chunks = (rows() + kChunkRows - 1) / kChunkRows;
    difference_ = at::empty({chunks, columns(), kChunkRows}, weight_.options());
  }

  void prune(int64_t block) {
    const int64_t group = pattern_.is_structured() ? pattern_.group : kGroupOfGivenMask;
    if (pattern_.is_structured()) block = std::max(group, block - block % group);
    for (int64_t first = 0; first < columns(); first += block) {
      prune_block(first, std::min(columns(), first + block), static_cast<int>(group));
    }
  }

  PrunedWeight result() { return {weight_, mask_}; }

 private:
  // One block of one chunk: matrices [columns, kChunkRows].
  struct Scratch {
    int64_t columns;
    kernels::Buffer<float> weight, shift, keep;

    explicit Scratch(int64_t width) : columns(width) {
      const auto count = static_cast<size_t>(width * kChunkRows);
      for (kernels::Buffer<float>* each : {&weight, &shift, &keep}) each->resize(count);
    }
  };

  int64_t rows() const { return weight_.size(0); }
  int64_t columns() const { return weight_.size(1); }

  void prune_block(int64_t first, int64_t last, int group) {
    const float* const corner = r_.const_data_ptr<float>() + first * columns() + first;
    const kernels::ColumnBlock block(corner, columns(), last - first, group);
    const kernels::ColumnSlices above(r_.const_data_ptr<float>() + first, columns(), first,
                                      last - first);
    if (!pattern_.is_structured() && !has_mask_) choose_mask(block, above, first, last);
    const int kept = pattern_.is_structured() && !has_mask_ ? static_cast<int>(pattern_.kept) : 0;
    for_chunks(rows(), [&](int64_t begin, int64_t end) {
      Scratch scratch(last - first);
      load(scratch, above, begin, end, first, kept == 0);
      kernels::prune_columns(block, kept, kChunkRows, scratch.weight.data(), scratch.shift.data(),
                             scratch.keep.data(), difference_of(begin, first));
      store(scratch, begin, end, first, kept > 0);
    });
  }

  // The mask of a block, among the scores of all its updated weights: as the published code, which
  // removes a score that is equal to the limit.
  void choose_mask(const kernels::ColumnBlock& block, const kernels::ColumnSlices& above,
                   int64_t first, int64_t last) {
    const int64_t width = last - first, count = rows() * width;
    kernels::Buffer<float> scores(static_cast<size_t>(count));
    for_chunks(rows(), [&](int64_t begin, int64_t end) {
      Scratch scratch(width);
      load(scratch, above, begin, end, first, false);
      std::fill_n(scratch.keep.data(), width * kChunkRows, 1.0f);
      kernels::prune_columns(block, 0, kChunkRows, scratch.weight.data(), scratch.shift.data(),
                             scratch.keep.data(), difference_of(begin, first));
      for_tiles(width, [&](int64_t lane, int64_t j) {
        if (begin + lane >= end) return;
        scores[(begin + lane) * width + j] =
            scratch.weight[j * kChunkRows + lane] * block.r()[j * width + j];
      });
    });
    const auto rank = static_cast<int64_t>(static_cast<double>(count) * pattern_.sparsity);
    const float limit = kernels::smallest_magnitude(scores.data(), count, rank);
    bool* const mask = mask_.mutable_data_ptr<bool>();
    for_chunks(rows(), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        for (int64_t j = 0; j < width; ++j) {
          mask[row * columns() + first + j] = std::abs(scores[row * width + j]) > limit;
        }
      }
    });
  }

  float* difference_of(int64_t row, int64_t column) const {
    return difference_.mutable_data_ptr<float>() + row * columns() + column * kChunkRows;
  }

  // Calls fn(lane, column) for a block of a chunk, in tiles: the lines of a transposition stay in
  // the first-level cache.
  template <class Fn>
  static void for_tiles(int64_t width, Fn&& fn) {
    constexpr int64_t kTile = 16;
    for (int64_t begin = 0; begin < width; begin += kTile) {
      const int64_t end = std::min(width, begin + kTile);
      for (int64_t lane = 0; lane < kChunkRows; ++lane) {
        for (int64_t j = begin; j < end; ++j) fn(lane, j);
      }
    }
  }

  // Weights, masks and D R of the earlier columns.
  void load(Scratch& scratch, const kernels::ColumnSlices& above, int64_t begin, int64_t end,
            int64_t first, bool with_mask) const {
    const int64_t width = scratch.columns;
    const float* const weight = weight_.const_data_ptr<float>();
    const bool* const mask = mask_.const_data_ptr<bool>();
    for_tiles(width, [&](int64_t lane, int64_t j) {
      const bool is_row = begin + lane < end;
      const int64_t from = (begin + lane) * columns() + first + j;
      scratch.weight[j * kChunkRows + lane] = is_row ? weight[from] : 0;
      if (with_mask) scratch.keep[j * kChunkRows + lane] = is_row && mask[from];
    });
    kernels::column_sums(above, difference_of(begin, 0), kChunkRows, scratch.shift.data());
  }

  void store(const Scratch& scratch, int64_t begin, int64_t end, int64_t first, bool with_mask) {
    float* const weight = weight_.mutable_data_ptr<float>();
    bool* const mask = mask_.mutable_data_ptr<bool>();
    for_tiles(scratch.columns, [&](int64_t lane, int64_t j) {
      if (begin + lane >= end) return;
      const int64_t from = j * kChunkRows + lane, to = (begin + lane) * columns() + first + j;
      weight[to] = scratch.weight[from];
      if (with_mask) mask[to] = scratch.keep[from] > 0;
    });
  }

  const at::Tensor r_;
  const Pattern pattern_;
  const bool has_mask_;
  at::Tensor weight_, mask_;
  at::Tensor difference_;  // [chunks, columns, kChunkRows], of the columns before the block
};

}  // namespace

PrunedWeight sparsegpt(const at::Tensor& weight, const HessianFactor& factor,
                       const Pattern& pattern, int64_t block, const at::Tensor& mask) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  if (weight.dim() != 2 || !at::isFloatingType(weight.scalar_type())) {
    fail("the weight must be a floating-point matrix");
  }
  check_gram(factor.r, weight.size(1));
  if (mask.defined() && mask.sizes() != weight.sizes()) {
    fail("the mask must have the weight's sizes [{}, {}]", weight.size(0), weight.size(1));
  }
  if (block < 1) fail("a block of {} columns is not possible", block);
  check_fits(pattern, weight.size(1));
  ColumnLoop loop(weight, factor, pattern, mask);
  if (weight.numel() > 0) loop.prune(block);
  return loop.result();
}

}  // namespace twofour::sparse
