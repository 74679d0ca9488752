// Exact swaps of a kept and a removed entry of a group (SparseSwaps, arXiv 2512.10922), for one row
// w of a weight with inputs of Gram matrix G. With d the removed entries of w and c = G d, the
// row's error is dᵀ c. Let v be w where kept and -w where removed, so that an entry that changes
// its state adds v to d. Exchanging i and j, of different states, changes the error by 2 v_i c_i +
// 2 v_j c_j + v_i² G_ii + v_j² G_jj + 2 v_i v_j G_ij, and c by v_i G_i + v_j G_j.
#pragma once

#include <cstdint>

namespace twofour::kernels {

/// The order of a row's entries in the search: entry k of all groups together, in vectors of
/// groups.
struct SwapOrder {
  SwapOrder(int64_t columns, int group);

  int64_t columns;
  int group;  ///< at most 8 entries
  int64_t groups;
  int64_t stride;  ///< groups, rounded up to whole vectors

  int64_t size() const { return group * stride; }
  int64_t place(int64_t column) const { return column % group * stride + column / group; }
};

/// Exchanges entries of `mask` [columns] (1 = kept), the pair of the row with the largest decrease
/// first, until no decrease exceeds the rounding of c, or `most` exchanges are made (0: no limit);
/// returns their number. `gram` [columns, size] has its columns in the order of the search, with
/// zeros between the groups' ends and the next vector; so has c [size], the sums G d of the mask,
/// which becomes that of the new one. The bits are independent of the instruction set.
int64_t swap_entries(const SwapOrder& order, const float* weight, const float* gram, int64_t most,
                     float* c, uint8_t* mask);

}  // namespace twofour::kernels
