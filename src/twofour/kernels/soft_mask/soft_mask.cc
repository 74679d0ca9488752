#include "twofour/kernels/soft_mask/soft_mask.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/soft_mask/soft_mask_table.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kGroupsOfPart = 4096;  // a part's sums are added in order
constexpr int64_t kMostOfChunk = 256;    // groups
constexpr int64_t kWorkEntries = 4096;   // floats in each array of a chunk

// The groups of a chunk: its arrays stay in the first-level cache.
int64_t groups_of_chunk(const Candidates& candidates) {
  const int64_t fitting = kWorkEntries / std::max(candidates.count(), candidates.group());
  return std::min(kMostOfChunk, fitting / kGroupsOfVector * kGroupsOfVector);
}

// Arrays of a chunk; entries beyond its groups are numbers, too.
struct Work {
  alignas(64) float y[kWorkEntries] = {};
  alignas(64) float soft[kWorkEntries] = {};
  alignas(64) float weight[kWorkEntries] = {};
};

template <class W>
const float* floats_of(const W* weight, int64_t count, float* scratch) {
  if constexpr (std::is_same_v<W, float>) {
    return weight;
  } else {
    table<SoftMaskTable<W>>().widen(weight, count, scratch);
    return scratch;
  }
}

int64_t groups_of(int64_t rows, int64_t columns, const Candidates& candidates) {
  if (columns % candidates.group() != 0) {
    fail("{} columns are not a multiple of {}, as {}:{} needs", columns, candidates.group(),
         candidates.kept(), candidates.group());
  }
  return rows * (columns / candidates.group());
}

SoftMaskStep step_of(const Candidates& candidates, const SoftMaskOptions& options) {
  return {candidates.kept(),       candidates.group(), candidates.count(),
          candidates.positions(0), options.kappa,      1.0f / options.tau,
          options.choice,          options.noise,      &options.stream};
}

void check_options(const Candidates& candidates, const SoftMaskOptions& options, int64_t groups) {
  if (!(options.kappa > 0) || std::isinf(options.kappa)) {
    fail("kappa is {}, but must be a finite number above 0", options.kappa);
  }
  if (!(options.tau > 0) || std::isinf(options.tau) || std::isinf(1.0f / options.tau)) {
    fail("tau is {}, but must be a finite number above 0", options.tau);
  }
  if (options.noise != Noise::kDrawn) return;
  const int64_t blocks = (candidates.count() + kGumbelsOfBlock - 1) / kGumbelsOfBlock;
  const int64_t last = options.first_group + groups;
  if (last > (int64_t{1} << 32) / blocks) {
    fail("{} groups of {} masks need more than 2^32 blocks of random numbers", last,
         candidates.count());
  }
}

// The sums of part(first group, last group), in order.
template <class Fn>
double sum_over_parts(int64_t groups, Fn&& part) {
  std::vector<double> sums(static_cast<size_t>((groups + kGroupsOfPart - 1) / kGroupsOfPart));
  parallel_for(0, static_cast<int64_t>(sums.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      sums[static_cast<size_t>(i)] =
          part(i * kGroupsOfPart, std::min(groups, (i + 1) * kGroupsOfPart));
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// Calls fn(first group, chunk) for all chunks of groups, after their y and masks are made. fn may
// add to the kSquareLanes sums whose total is returned.
template <class L, class Fn>
double for_masks(const L* logits, int64_t groups, const Candidates& candidates,
                 const SoftMaskOptions& options, Fn&& fn) {
  check_options(candidates, options, groups);
  const SoftMaskStep step = step_of(candidates, options);
  const int64_t most = groups_of_chunk(candidates), count = candidates.count();
  const auto make_masks = table<SoftMaskTable<L>>().soft;
  return sum_over_parts(groups, [&](int64_t first, int64_t last) {
    Work work;
    double sums[kSquareLanes] = {};
    for (int64_t g = first; g < last; g += most) {
      const float* const gumbel = options.gumbel ? options.gumbel + g * count : nullptr;
      const auto number = static_cast<uint32_t>(options.first_group + g);
      const SoftMaskChunk chunk = {
          std::min(most, last - g), number, gumbel, most, work.y, work.soft};
      make_masks(step, logits + g * count, chunk);
      fn(g, chunk, work, sums);
    }
    return std::accumulate(sums, sums + kSquareLanes, 0.0);
  });
}

}  // namespace

template <class L>
void soft_mask(const L* logits, int64_t groups, const Candidates& candidates,
               const SoftMaskOptions& options, float* soft) {
  const int64_t size = candidates.group();
  for_masks(logits, groups, candidates, options,
            [&](int64_t g, const SoftMaskChunk& chunk, Work&, double*) {
              std::copy_n(chunk.soft, chunk.groups * size, soft + g * size);
            });
}

template <class L>
void soft_mask_gradient(const L* logits, const float* dsoft, int64_t groups,
                        const Candidates& candidates, const SoftMaskOptions& options,
                        float* dlogits) {
  const SoftMaskStep step = step_of(candidates, options);
  const int64_t size = candidates.group(), count = candidates.count();
  for_masks(logits, groups, candidates, options,
            [&](int64_t g, const SoftMaskChunk& chunk, Work&, double*) {
              float* const to = dlogits + g * count;
              std::copy_n(dsoft + g * size, chunk.groups * size, chunk.soft);
              std::fill_n(to, chunk.groups * count, 0.0f);
              table<SoftMaskSumsTable>().add(step, chunk, step.kappa * step.inverse_tau, to);
            });
}

template <class L, class W, class T>
double soft_masked_weight(const L* logits, const W* weight, int64_t rows, int64_t columns,
                          const Candidates& candidates, const SoftMaskOptions& options, T* out) {
  const int64_t groups = groups_of(rows, columns, candidates), size = candidates.group();
  return for_masks(logits, groups, candidates, options,
                   [&](int64_t g, const SoftMaskChunk& chunk, Work& work, double* squares) {
                     const int64_t at = g * size, entries = chunk.groups * size;
                     table<SoftMaskTable<T>>().masked(floats_of(weight + at, entries, work.weight),
                                                      chunk.soft, entries, out + at, squares);
                   });
}

template <class L, class W, class T>
void add_soft_mask_gradients(const L* logits, const W* weight, const float* dmasked, int64_t rows,
                             int64_t columns, const Candidates& candidates,
                             const SoftMaskOptions& options, double regularisation, float* dlogits,
                             float* dweight, T* out) {
  const int64_t groups = groups_of(rows, columns, candidates), size = candidates.group();
  const SoftMaskStep step = step_of(candidates, options);
  const auto decay = static_cast<float>(2 * regularisation);
  for_masks(logits, groups, candidates, options,
            [&](int64_t g, const SoftMaskChunk& chunk, Work& work, double*) {
              const int64_t at = g * size, entries = chunk.groups * size;
              table<SoftMaskTable<T>>().gradients(
                  floats_of(weight + at, entries, work.weight), dmasked + at, entries, decay,
                  chunk.soft, dweight ? dweight + at : nullptr, out ? out + at : nullptr);
              table<SoftMaskSumsTable>().add(step, chunk, step.kappa * step.inverse_tau,
                                             dlogits + g * candidates.count());
            });
}

#define TWOFOUR_INSTANTIATE(L)                                                             \
  template void soft_mask<L>(const L*, int64_t, const Candidates&, const SoftMaskOptions&, \
                             float*);                                                      \
  template void soft_mask_gradient<L>(const L*, const float*, int64_t, const Candidates&,  \
                                      const SoftMaskOptions&, float*);
#define TWOFOUR_INSTANTIATE_TYPES(L, W, T)                                                    \
  template double soft_masked_weight<L, W, T>(const L*, const W*, int64_t, int64_t,           \
                                              const Candidates&, const SoftMaskOptions&, T*); \
  template void add_soft_mask_gradients<L, W, T>(                                             \
      const L*, const W*, const float*, int64_t, int64_t, const Candidates&,                  \
      const SoftMaskOptions&, double, float*, float*, T*);
#define TWOFOUR_INSTANTIATE_RESULTS(L, W)   \
  TWOFOUR_INSTANTIATE_TYPES(L, W, float)    \
  TWOFOUR_INSTANTIATE_TYPES(L, W, bfloat16) \
  TWOFOUR_INSTANTIATE_TYPES(L, W, float16)
#define TWOFOUR_INSTANTIATE_WEIGHTS(L)     \
  TWOFOUR_INSTANTIATE_RESULTS(L, float)    \
  TWOFOUR_INSTANTIATE_RESULTS(L, bfloat16) \
  TWOFOUR_INSTANTIATE_RESULTS(L, float16)
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
TWOFOUR_INSTANTIATE_WEIGHTS(float)
TWOFOUR_INSTANTIATE_WEIGHTS(bfloat16)
#undef TWOFOUR_INSTANTIATE
#undef TWOFOUR_INSTANTIATE_TYPES
#undef TWOFOUR_INSTANTIATE_RESULTS
#undef TWOFOUR_INSTANTIATE_WEIGHTS

}  // namespace twofour::kernels
