// The winners of soft_mask.h: masks of evaluation, statistics, and the prior.
#include <algorithm>
#include <cmath>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/soft_mask/soft_mask.h"
#include "twofour/kernels/soft_mask/soft_mask_table.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kGroupsOfRun = 1024;  // between two looks at their winners

// Calls fn(first group, groups, winners) for runs of at most kGroupsOfRun groups.
template <class L, class Fn>
void for_winners(const L* logits, int64_t groups, const Candidates& candidates, Fn&& fn) {
  parallel_for(0, groups, kGroupsOfRun, [&](int64_t first, int64_t last) {
    uint8_t winner[kGroupsOfRun];
    for (int64_t g = first; g < last; g += kGroupsOfRun) {
      const int64_t here = std::min(kGroupsOfRun, last - g);
      table<SoftMaskTable<L>>().winners(logits + g * candidates.count(), here, candidates.count(),
                                        winner);
      fn(g, here, winner);
    }
  });
}

// The masks of all candidates, 1 byte an entry: [count, group].
std::vector<uint8_t> masks_of(const Candidates& candidates) {
  std::vector<uint8_t> masks(static_cast<size_t>(candidates.count() * candidates.group()));
  for (int64_t k = 0; k < candidates.count(); ++k) {
    uint8_t* const mask = masks.data() + k * candidates.group();
    for (int64_t i = 0; i < candidates.kept(); ++i) mask[candidates.positions(k)[i]] = 1;
  }
  return masks;
}

void add_statistics(const LogitStatistics& part, LogitStatistics& sum) {
  sum.largest_probability += part.largest_probability;
  sum.sum += part.sum;
  sum.squares += part.squares;
  sum.kept_squares += part.kept_squares;
  for (size_t i = 0; i < std::size(sum.histogram); ++i) sum.histogram[i] += part.histogram[i];
}

// max softmax(kappa · logits) = 1 / Σ e^(kappa (logit - top)).
template <class L>
double largest_probability(const L* logits, int64_t count, float top, float kappa) {
  float sum = 0;
  for (int64_t k = 0; k < count; ++k) {
    sum += exponential(kappa * (to_float(logits[k]) - top));
  }
  return 1.0f / sum;
}

template <class L, class W>
LogitStatistics statistics_of(const L* logits, const W* weight, int64_t groups,
                              const Candidates& candidates, const uint8_t* winner, float kappa) {
  constexpr auto kBins = static_cast<int64_t>(std::size(LogitStatistics{}.histogram));
  const int64_t count = candidates.count();
  LogitStatistics result;
  for (int64_t g = 0; g < groups; ++g, logits += count, weight += candidates.group()) {
    for (int64_t k = 0; k < count; ++k) {
      const double logit = to_float(logits[k]);
      result.sum += logit;
      result.squares += logit * logit;
    }
    const uint8_t* const kept = candidates.positions(winner[g]);
    for (int64_t i = 0; i < candidates.kept(); ++i) {
      const double value = to_float(weight[kept[i]]);
      result.kept_squares += value * value;
    }
    const double p = largest_probability(logits, count, to_float(logits[winner[g]]), kappa);
    result.largest_probability += p;
    const bool is_number = p == p;
    result.histogram[is_number ? std::min(kBins - 1, static_cast<int64_t>(p * kBins)) : 0] += 1;
  }
  return result;
}

}  // namespace

template <class L, class W, class T>
void best_masked_weight(const L* logits, const W* weight, int64_t rows, int64_t columns,
                        const Candidates& candidates, T* out) {
  const int64_t size = candidates.group();
  if (columns % size != 0) fail("{} columns are not a multiple of {}", columns, size);
  const std::vector<uint8_t> masks = masks_of(candidates);
  for_winners(logits, rows * (columns / size), candidates,
              [&](int64_t first, int64_t groups, const uint8_t* winner) {
                for (int64_t g = 0; g < groups; ++g) {
                  const uint8_t* const mask = masks.data() + winner[g] * size;
                  const int64_t at = (first + g) * size;
                  for (int64_t i = 0; i < size; ++i) {
                    store(mask[i] ? to_float(weight[at + i]) : 0.0f, out[at + i]);
                  }
                }
              });
}

template <class L>
void best_mask(const L* logits, int64_t groups, const Candidates& candidates, uint8_t* mask) {
  const int64_t size = candidates.group();
  const std::vector<uint8_t> masks = masks_of(candidates);
  for_winners(logits, groups, candidates, [&](int64_t first, int64_t here, const uint8_t* winner) {
    for (int64_t g = 0; g < here; ++g) {
      std::copy_n(masks.data() + winner[g] * size, size, mask + (first + g) * size);
    }
  });
}

template <class L, class W>
LogitStatistics logit_statistics(const L* logits, const W* weight, int64_t rows, int64_t columns,
                                 const Candidates& candidates, float kappa) {
  const int64_t size = candidates.group(), count = candidates.count();
  if (columns % size != 0) fail("{} columns are not a multiple of {}", columns, size);
  const int64_t groups = rows * (columns / size);
  std::vector<LogitStatistics> runs(
      static_cast<size_t>((groups + kGroupsOfRun - 1) / kGroupsOfRun));
  for_winners(logits, groups, candidates, [&](int64_t first, int64_t here, const uint8_t* winner) {
    runs[static_cast<size_t>(first / kGroupsOfRun)] = statistics_of(
        logits + first * count, weight + first * size, here, candidates, winner, kappa);
  });
  LogitStatistics result;
  for (const LogitStatistics& run : runs) add_statistics(run, result);
  return result;
}

template <class L>
void add_prior(L* logits, const uint8_t* mask, int64_t groups, const Candidates& candidates,
               float strength) {
  const int64_t size = candidates.group(), count = candidates.count(), kept = candidates.kept();
  const float mean = static_cast<float>(kept * kept) / static_cast<float>(size);
  parallel_for(0, groups, kGroupsOfRun, [&](int64_t first, int64_t last) {
    for (int64_t g = first; g < last; ++g) {
      const uint8_t* const entries = mask + g * size;
      for (int64_t k = 0; k < count; ++k) {
        int overlap = 0;
        for (int64_t i = 0; i < kept; ++i) overlap += entries[candidates.positions(k)[i]] != 0;
        L& logit = logits[g * count + k];
        store(to_float(logit) + (static_cast<float>(overlap) - mean) * strength, logit);
      }
    }
  });
}

#define TWOFOUR_INSTANTIATE_TYPES(L, W, T)                                        \
  template void best_masked_weight<L, W, T>(const L*, const W*, int64_t, int64_t, \
                                            const Candidates&, T*);
#define TWOFOUR_INSTANTIATE_WEIGHT(L, W)                                                \
  template LogitStatistics logit_statistics<L, W>(const L*, const W*, int64_t, int64_t, \
                                                  const Candidates&, float);            \
  TWOFOUR_INSTANTIATE_TYPES(L, W, float)                                                \
  TWOFOUR_INSTANTIATE_TYPES(L, W, bfloat16)                                             \
  TWOFOUR_INSTANTIATE_TYPES(L, W, float16)
#define TWOFOUR_INSTANTIATE(L)                                                       \
  template void best_mask<L>(const L*, int64_t, const Candidates&, uint8_t*);        \
  template void add_prior<L>(L*, const uint8_t*, int64_t, const Candidates&, float); \
  TWOFOUR_INSTANTIATE_WEIGHT(L, float)                                               \
  TWOFOUR_INSTANTIATE_WEIGHT(L, bfloat16)                                            \
  TWOFOUR_INSTANTIATE_WEIGHT(L, float16)
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
#undef TWOFOUR_INSTANTIATE
#undef TWOFOUR_INSTANTIATE_WEIGHT
#undef TWOFOUR_INSTANTIATE_TYPES

}  // namespace twofour::kernels
