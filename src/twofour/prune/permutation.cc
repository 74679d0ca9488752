#include "twofour/prune/permutation.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include <ATen/ops/cdist.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/prune/assignment.h"

namespace twofour::prune {
namespace {

constexpr int64_t kGroupsTogether = 128;  // of one assignment
constexpr double kSmallestGain = 1e-3;    // of a round, relative to the kept score
constexpr int64_t kMostScores = 1 << 24;  // on which an order is chosen

// The scores of the channels, whose rows are contiguous: [in, out].
at::Tensor channels_first(const at::Tensor& scores, const sparse::Pattern& pattern) {
  sparse::check(pattern);
  if (!pattern.is_structured()) fail("channels are only permuted for N:M patterns");
  if (scores.size(1) % pattern.group != 0) {
    fail("{} channels cannot be permuted for {}: they are no multiple of {}", scores.size(1),
         pattern.text(), pattern.group);
  }
  const at::Tensor channels = scores.to(at::kFloat).t().contiguous();
  if (!at::isfinite(channels).all().item<bool>()) fail("the scores of a mask are not finite");
  return channels;
}

// The largest of several values first.
template <class Values>
void sort_few(Values& values, int64_t count) {
  for (int64_t i = 1; i < count; ++i) {
    const float value = values[static_cast<size_t>(i)];
    int64_t j = i;
    for (; j > 0 && values[static_cast<size_t>(j - 1)] < value; --j) {
      values[static_cast<size_t>(j)] = values[static_cast<size_t>(j - 1)];
    }
    values[static_cast<size_t>(j)] = value;
  }
}

// Channels in the places of groups: place m of group k holds channel order[k · M + m].
class Arrangement {
 public:
  Arrangement(at::Tensor channels, const sparse::Pattern& pattern)
      : channels_(std::move(channels)),
        pattern_(pattern),
        order_(static_cast<size_t>(channels_.size(0))) {
    std::iota(order_.begin(), order_.end(), int64_t{0});
  }

  int64_t groups() const { return channels_.size(0) / pattern_.group; }
  const std::vector<int64_t>& order() const { return order_; }
  void set_order(const std::vector<int64_t>& order) { order_ = order; }

  double kept() const;
  void deal();
  void reassign(int64_t place, int64_t round);

 private:
  int64_t rows() const { return channels_.size(1); }
  int64_t& at(int64_t group, int64_t place) {
    return order_[static_cast<size_t>(group * pattern_.group + place)];
  }
  const float* channel(int64_t group, int64_t place) const {
    const size_t position = static_cast<size_t>(group * pattern_.group + place);
    return channels_.const_data_ptr<float>() + order_[position] * rows();
  }
  void thresholds(int64_t group, int64_t place, float* out) const;
  void reassign_together(const std::vector<int64_t>& groups, int64_t place);

  at::Tensor channels_;  // [in, out]
  sparse::Pattern pattern_;
  std::vector<int64_t> order_;
};

double Arrangement::kept() const {
  std::vector<double> sums(static_cast<size_t>(groups()));
  parallel_for(0, groups(), 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      double sum = 0;
      for (int64_t row = 0; row < rows(); ++row) {
        std::array<float, 8> values;
        for (int64_t m = 0; m < pattern_.group; ++m) {
          values[static_cast<size_t>(m)] = channel(k, m)[row];
        }
        sort_few(values, pattern_.group);
        for (int64_t m = 0; m < pattern_.kept; ++m) sum += values[static_cast<size_t>(m)];
      }
      sums[static_cast<size_t>(k)] = sum;
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// The channels with the largest sums to the first place of every group, the next to the second, …
void Arrangement::deal() {
  const at::Tensor sums = channels_.sum(1, /*keepdim=*/false, at::kDouble);
  const double* sum_of = sums.const_data_ptr<double>();
  std::vector<int64_t> sorted(order_.size());
  std::iota(sorted.begin(), sorted.end(), int64_t{0});
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](int64_t a, int64_t b) { return sum_of[a] > sum_of[b]; });
  size_t next = 0;
  for (int64_t m = 0; m < pattern_.group; ++m) {
    for (int64_t k = 0; k < groups(); ++k) at(k, m) = sorted[next++];
  }
}

// What a channel in `place` must exceed to be kept in each row: the N-th largest of the others.
void Arrangement::thresholds(int64_t group, int64_t place, float* out) const {
  for (int64_t row = 0; row < rows(); ++row) {
    std::array<float, 8> others;
    int64_t count = 0;
    for (int64_t m = 0; m < pattern_.group; ++m) {
      if (m != place) others[static_cast<size_t>(count++)] = channel(group, m)[row];
    }
    sort_few(others, count);
    out[row] = others[static_cast<size_t>(pattern_.kept - 1)];
  }
}

// A channel s adds Σ max(0, s - t) = Σ (|s - t| + s - t) / 2 over the rows to a group with the
// thresholds t. The sums of s and t are the same for every assignment, so the distances decide.
void Arrangement::reassign_together(const std::vector<int64_t>& groups, int64_t place) {
  const auto count = static_cast<int64_t>(groups.size());
  std::vector<int64_t> candidates;
  const at::Tensor limits = at::empty({count, rows()}, at::kFloat);
  for (const int64_t group : groups) {
    thresholds(group, place,
               limits.mutable_data_ptr<float>() + static_cast<int64_t>(candidates.size()) * rows());
    candidates.push_back(at(group, place));
  }
  const at::Tensor scores = channels_.index_select(0, at::tensor(candidates, at::kLong));
  const at::Tensor distances = at::cdist(scores, limits, 1).contiguous();
  const std::span<const float> profit(distances.const_data_ptr<float>(),
                                      static_cast<size_t>(count * count));
  const std::vector<int64_t> assigned = best_assignment(profit, count);
  double before = 0, after = 0;
  for (int64_t i = 0; i < count; ++i) {
    before += profit[static_cast<size_t>(i * count + i)];
    after += profit[static_cast<size_t>(i * count + assigned[static_cast<size_t>(i)])];
  }
  if (after <= before) return;
  for (int64_t i = 0; i < count; ++i) {
    const auto group = groups[static_cast<size_t>(assigned[static_cast<size_t>(i)])];
    at(group, place) = candidates[static_cast<size_t>(i)];
  }
}

// Other groups meet in every round: those that are `step` apart.
void Arrangement::reassign(int64_t place, int64_t round) {
  int64_t step = 1 + round * (groups() / 3);
  while (std::gcd(step, groups()) != 1) ++step;
  const int64_t parts = (groups() + kGroupsTogether - 1) / kGroupsTogether;
  parallel_for(0, parts, 1, [&](int64_t first_part, int64_t last_part) {
    for (int64_t part = first_part; part < last_part; ++part) {
      std::vector<int64_t> together;
      const int64_t last = (part + 1) * groups() / parts;
      for (int64_t i = part * groups() / parts; i < last; ++i) {
        together.push_back(i * step % groups());
      }
      reassign_together(together, place);
    }
  });
}

}  // namespace

double kept_score(const at::Tensor& scores, const sparse::Pattern& pattern) {
  return Arrangement(channels_first(scores, pattern), pattern).kept();
}

Permutation find_permutation(const at::Tensor& scores, const sparse::Pattern& pattern,
                             int64_t rounds) {
  const at::Tensor channels = channels_first(scores, pattern);
  Arrangement whole(channels, pattern);
  Permutation result;
  result.order = at::tensor(whole.order(), at::kLong);
  result.kept_before = result.kept_after = whole.kept();
  const int64_t step = 1 + (channels.numel() - 1) / kMostScores;
  Arrangement arrangement(channels.slice(1, 0, channels.size(1), step).contiguous(), pattern);
  arrangement.deal();
  double kept = arrangement.kept();
  for (int64_t round = 0; round < rounds; ++round) {
    for (int64_t m = 0; m < pattern.group; ++m) arrangement.reassign(m, round);
    const double before = std::exchange(kept, arrangement.kept());
    if (kept - before <= kSmallestGain * kept) break;
  }
  whole.set_order(arrangement.order());
  if (const double kept_after = whole.kept(); kept_after > result.kept_before) {
    result.order = at::tensor(whole.order(), at::kLong);
    result.kept_after = kept_after;
  }
  return result;
}

}  // namespace twofour::prune
