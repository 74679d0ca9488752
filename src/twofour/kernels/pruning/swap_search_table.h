// The loops of swap_search.h. Lanes of F are groups of a row.
#pragma once

#include <cstdint>
#include <limits>

#include "twofour/kernels/pruning/swap_search.h"
#include "twofour/kernels/rows/table.h"
#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {

struct BestSwap {
  float change;
  int64_t group;
};

/// What the search reads of a row. Of a pair of entries of a group, `constants` has the part of its
/// change that does not depend on c, infinite for entries of one state.
struct SwapTerms {
  const float* doubled;    ///< [group, stride]: 2 v
  const float* constants;  ///< [pairs (0, 1), (0, 2), …, (1, 2), …, stride]
};

struct SwapSearchTable {
  /// c += a x + b y, all [group, stride]; then the group with the least change of a pair, of equals
  /// the first.
  BestSwap (*update_and_search)(const SwapOrder& order, const SwapTerms& terms, float a,
                                const float* x, float b, const float* y, float* c);
};

namespace {

// The groups whose number modulo the lanes is the lane.
template <class F>
BestSwap best_of_lanes(F change, WordsOf<F> group) {
  if constexpr (sizeof(F) == sizeof(float)) {
    return {change, group};
  } else {
    BestSwap best = {change[0], group[0]};
    for (size_t lane = 1; lane < sizeof(F) / sizeof(float); ++lane) {
      const bool is_first = change[lane] == best.change && group[lane] < best.group;
      if (change[lane] < best.change || is_first) best = {change[lane], group[lane]};
    }
    return best;
  }
}

template <class F>
constexpr WordsOf<F> lane_numbers() {
  WordsOf<F> numbers = {};
  if constexpr (sizeof(F) > sizeof(float)) {
    for (size_t lane = 0; lane < sizeof(F) / sizeof(float); ++lane) numbers[lane] = lane;
  }
  return numbers;
}

template <class F, int kGroup>
BestSwap search_groups_of(const SwapOrder& order, const SwapTerms& terms, float a, const float* x,
                          float b, const float* y, float* c) {
  constexpr int64_t kLanes = sizeof(F) / sizeof(float);
  const F infinite = F{} + std::numeric_limits<float>::infinity();
  F best = infinite;
  WordsOf<F> where = {}, groups = lane_numbers<F>();
  for (int64_t g = 0; g < order.stride; g += kLanes) {
    F change[kGroup];
    for (int k = 0; k < kGroup; ++k) {
      const int64_t at = k * order.stride + g;
      const F sum = load_lanes<F>(c + at) + load_lanes<F>(x + at) * a + load_lanes<F>(y + at) * b;
      store_lanes(sum, c + at);
      change[k] = load_lanes<F>(terms.doubled + at) * sum;
    }
    F least = infinite;
    const float* constant = terms.constants + g;
    for (int i = 0; i < kGroup; ++i) {
      for (int j = i + 1; j < kGroup; ++j, constant += order.stride) {
        const F pair = load_lanes<F>(constant) + change[i] + change[j];
        least = pair < least ? pair : least;
      }
    }
    const MaskOf<F> better = least < best;
    best = better ? least : best;
    where = better ? groups : where;
    groups += static_cast<uint32_t>(kLanes);
  }
  return best_of_lanes<F>(best, where);
}

template <class F>
BestSwap update_and_search(const SwapOrder& order, const SwapTerms& terms, float a, const float* x,
                           float b, const float* y, float* c) {
  const auto with = [&](auto* search) { return search(order, terms, a, x, b, y, c); };
  switch (order.group) {
    case 2:
      return with(search_groups_of<F, 2>);
    case 3:
      return with(search_groups_of<F, 3>);
    case 4:
      return with(search_groups_of<F, 4>);
    case 5:
      return with(search_groups_of<F, 5>);
    case 6:
      return with(search_groups_of<F, 6>);
    case 7:
      return with(search_groups_of<F, 7>);
    default:
      return with(search_groups_of<F, 8>);
  }
}

template <class F>
constexpr SwapSearchTable kTable<SwapSearchTable, F> = {.update_and_search = update_and_search<F>};

}  // namespace
}  // namespace twofour::kernels
