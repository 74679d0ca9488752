#include "twofour/kernels/pruning/swap_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "twofour/kernels/buffer.h"
#include "twofour/kernels/pruning/swap_search_table.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kGroupsOfVector = 16;

// The error of an entry of c relative to a bound of the sum of its terms' magnitudes: several
// roundings of 2^-24.
constexpr float kRounding = 0x1p-22f;

// One row and its state of the search.
class Row {
 public:
  Row(const SwapOrder& order, const float* weight, const float* gram, float* c, uint8_t* mask)
      : order_(order), gram_(gram), c_(c), mask_(mask) {
    const int64_t pairs = order.group * (order.group - 1) / 2;
    doubled_.resize(static_cast<size_t>(order.size()));
    root_.resize(static_cast<size_t>(order.columns));
    constants_.resize(static_cast<size_t>(pairs * order.stride));
    std::fill_n(doubled_.data(), order.size(), 0.0f);
    std::fill_n(constants_.data(), pairs * order.stride, std::numeric_limits<float>::infinity());
    double bound = 0;  // of the sum of the magnitudes of c's terms, over √G_jj
    for (int64_t j = 0; j < order.columns; ++j) {
      doubled_[order.place(j)] = mask[j] ? 2 * weight[j] : -2 * weight[j];
      root_[j] = std::abs(weight[j]) * std::sqrt(std::max(0.0f, gram_entry(j, j)));
      bound += root_[j];
    }
    rounding_ = 2 * kRounding * static_cast<float>(bound);
    for (int64_t group = 0; group < order.groups; ++group) set_constants(group);
  }

  int64_t swap(int64_t most) {
    const float *x = gram_, *y = gram_;
    float a = 0, b = 0;
    // Every swap lowers the error, so no mask comes back; the limit is for what rounding may do.
    const int64_t limit = most > 0 ? most : 16 * order_.columns;
    for (int64_t swaps = 0;; ++swaps) {
      const SwapTerms terms = {doubled_.data(), constants_.data()};
      const BestSwap best =
          table<SwapSearchTable>().update_and_search(order_, terms, a, x, b, y, c_);
      if (!(best.change < 0) || swaps == limit) return swaps;
      const auto [i, j] = best_pair(best.group);
      x = gram_ + i * order_.size();
      y = gram_ + j * order_.size();
      a = change_state(i);
      b = change_state(j);
      set_constants(best.group);
    }
  }

 private:
  struct Pair {
    int64_t i, j;
  };

  float gram_entry(int64_t i, int64_t j) const {
    return gram_[i * order_.size() + order_.place(j)];
  }

  // Calls fn(i, j, constant) for the pairs of a group in the order of the constants.
  template <class Fn>
  void for_pairs(int64_t group, Fn&& fn) {
    float* constant = constants_.data() + group;
    const int64_t begin = group * order_.group, end = begin + order_.group;
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = i + 1; j < end; ++j, constant += order_.stride) fn(i, j, *constant);
    }
  }

  void set_constants(int64_t group) {
    for_pairs(group, [&](int64_t i, int64_t j, float& constant) {
      const float cross =
          doubled_[order_.place(i)] * doubled_[order_.place(j)] * gram_entry(i, j) * 0.5f;
      const float least = root_[i] * root_[i] + root_[j] * root_[j] + cross;
      constant = mask_[i] == mask_[j] ? std::numeric_limits<float>::infinity()
                                      : least + rounding_ * (root_[i] + root_[j]);
    });
  }

  Pair best_pair(int64_t group) {
    Pair best = {};
    float least = std::numeric_limits<float>::infinity();
    for_pairs(group, [&](int64_t i, int64_t j, const float& constant) {
      const int64_t p = order_.place(i), q = order_.place(j);
      const float change = constant + doubled_[p] * c_[p] + doubled_[q] * c_[q];
      if (change < least) {
        least = change;
        best = {i, j};
      }
    });
    return best;
  }

  // Returns v of before.
  float change_state(int64_t column) {
    float& doubled = doubled_[order_.place(column)];
    const float before = 0.5f * doubled;
    doubled = -doubled;
    mask_[column] = !mask_[column];
    return before;
  }

  const SwapOrder& order_;
  const float* const gram_;
  float* const c_;
  uint8_t* const mask_;
  float rounding_;
  Buffer<float> doubled_, root_, constants_;
};

}  // namespace

SwapOrder::SwapOrder(int64_t columns, int group)
    : columns(columns),
      group(group),
      groups(columns / group),
      stride((groups + kGroupsOfVector - 1) / kGroupsOfVector * kGroupsOfVector) {}

int64_t swap_entries(const SwapOrder& order, const float* weight, const float* gram, int64_t most,
                     float* c, uint8_t* mask) {
  return Row(order, weight, gram, c, mask).swap(most);
}

}  // namespace twofour::kernels
