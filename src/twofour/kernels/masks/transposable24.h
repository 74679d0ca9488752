// Exact search for the best transposable 2:4 pattern of a 4 x 4 block (arXiv 2404.01847, section
// 4.1). F is float, or a vector of the same entry of several blocks (see lanes.h).
//
// The two upper rows only fix the number of entries that each column still needs. So the 90
// patterns are 19 kinds of upper halves, each with its best lower half.
//   6   both upper rows keep the same pair; both lower rows keep the other pair;
//   12  upper rows ab and ac, in either order; lower rows db and dc, in either order;
//   1   upper rows are a pair and the other pair, one of six; lower rows likewise.
// A sum is (pair of row 0 + pair of row 1) + (pair of row 2 + pair of row 3). Of equal sums the
// first wins, in the order of this list, of the columns, and of the order given.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>

#include "twofour/kernels/simd/lanes.h"

namespace twofour::kernels {
namespace {

// Pairs of columns in the order 01, 02, 03, 12, 13, 23; pair 5 - p is the complement of pair p.
constexpr uint32_t kPairBits[6] = {0x3, 0x5, 0x9, 0x6, 0xa, 0xc};
// The inverse is a function because CUDA device code cannot read a host table.
constexpr int pair_of(int i, int j) { return i + j - (i == 0 || j == 0); }

// The sum of two rows' kept magnitudes, and the bits of these entries: four bits per row, for row
// kRow and the next.
template <class F>
struct TwoRows {
  F sum;
  WordsOf<F> kept;
};

template <int kRow>
constexpr uint32_t kept_bits(int upper, int lower) {
  return (kPairBits[upper] | kPairBits[lower] << 4) << 4 * kRow;
}

// Pairs p and q of two rows, in the better order.
template <int kRow, class F>
TWOFOUR_HOST_DEVICE TwoRows<F> better_order(const F (&pair)[4][6], int p, int q) {
  const F straight = pair[kRow][p] + pair[kRow + 1][q], crossed = pair[kRow][q] + pair[kRow + 1][p];
  const MaskOf<F> cross = straight < crossed;
  return {cross ? crossed : straight,
          cross ? WordsOf<F>{} + kept_bits<kRow>(q, p) : WordsOf<F>{} + kept_bits<kRow>(p, q)};
}

// A pair and its complement, the best of six.
template <int kRow, class F>
TWOFOUR_HOST_DEVICE TwoRows<F> best_split(const F (&pair)[4][6]) {
  TwoRows<F> best = {pair[kRow][0] + pair[kRow + 1][5], WordsOf<F>{} + kept_bits<kRow>(0, 5)};
  for (int p = 1; p < 6; ++p) {
    const F sum = pair[kRow][p] + pair[kRow + 1][5 - p];
    const MaskOf<F> better = best.sum < sum;
    best.sum = better ? sum : best.sum;
    best.kept = better ? WordsOf<F>{} + kept_bits<kRow>(p, 5 - p) : best.kept;
  }
  return best;
}

template <class F>
struct Best {
  F sum;
  WordsOf<F> kept;

  TWOFOUR_HOST_DEVICE void offer(F total, WordsOf<F> pattern) {
    const MaskOf<F> better = sum < total;
    sum = better ? total : sum;
    kept = better ? pattern : kept;
  }
  TWOFOUR_HOST_DEVICE void offer(const TwoRows<F>& upper, const TwoRows<F>& lower) {
    offer(upper.sum + lower.sum, upper.kept | lower.kept);
  }
};

// Kind I of 12: the upper rows share column a and lack d, which the lower rows share. A template,
// so no column is looked up at run time.
template <size_t I, class F>
TWOFOUR_HOST_DEVICE void offer_shared_column(Best<F>& best, const F (&pair)[4][6]) {
  constexpr int a = I / 3, d = I % 3 + (I % 3 >= I / 3);
  constexpr int b = a != 0 && d != 0 ? 0 : a != 1 && d != 1 ? 1 : 2, c = 6 - a - b - d;
  best.offer(better_order<0>(pair, pair_of(a, b), pair_of(a, c)),
             better_order<2>(pair, pair_of(d, b), pair_of(d, c)));
}

template <class F, size_t... I>
TWOFOUR_HOST_DEVICE void offer_shared_columns(Best<F>& best, const F (&pair)[4][6],
                                              std::index_sequence<I...>) {
  (offer_shared_column<I>(best, pair), ...);
}

/// Bit 4 r + c of the result is set if entry [r][c] is kept. NaN and infinity count as the largest
/// finite value.
template <class F>
TWOFOUR_HOST_DEVICE WordsOf<F> transposable_pattern(const F (&block)[4][4]) {
  const F largest = F{} + std::numeric_limits<float>::max();
  F pair[4][6];
  for (int r = 0; r < 4; ++r) {
    F a[4];
    for (int c = 0; c < 4; ++c) {
      const F size = float_from_bits(bits_of(block[r][c]) & 0x7fffffffu);
      a[c] = size < largest ? size : largest;
    }
    for (int i = 0; i < 4; ++i) {
      for (int j = i + 1; j < 4; ++j) pair[r][pair_of(i, j)] = a[i] + a[j];
    }
  }
  Best<F> best = {F{} - 1.0f, {}};
  for (int p = 0; p < 6; ++p) {
    best.offer((pair[0][p] + pair[1][p]) + (pair[2][5 - p] + pair[3][5 - p]),
               WordsOf<F>{} + (kept_bits<0>(p, p) | kept_bits<2>(5 - p, 5 - p)));
  }
  offer_shared_columns(best, pair, std::make_index_sequence<12>());
  best.offer(best_split<0>(pair), best_split<2>(pair));
  return best.kept;
}

}  // namespace
}  // namespace twofour::kernels
