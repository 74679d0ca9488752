#include "twofour/kernels/pruning/select.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "twofour/base/parallel.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kFew = 1 << 15;  // values that are copied and partly sorted
constexpr int64_t kValuesAtATime = 1 << 16;
constexpr uint32_t kHalf = 1 << 16;

// Magnitudes have the order of their bits, also NaN.
uint32_t key_of(float value) { return bits_of(value) & 0x7fffffffu; }

float nth_of_few(const float* values, int64_t count, int64_t rank) {
  thread_local std::vector<uint32_t> keys;
  keys.resize(static_cast<size_t>(count));
  std::transform(values, values + count, keys.begin(), key_of);
  std::nth_element(keys.begin(), keys.begin() + rank, keys.end());
  return float_from_bits(keys[static_cast<size_t>(rank)]);
}

// How many values have each half of 16 bits; those for which `half` gives kHalf do not count.
template <class Half>
std::vector<int64_t> histogram(const float* values, int64_t count, Half&& half) {
  std::vector<int64_t> sum(kHalf);
  std::mutex mutex;
  parallel_for(0, count, kValuesAtATime, [&](int64_t first, int64_t last) {
    std::vector<int64_t> own(kHalf + 1);
    for (int64_t i = first; i < last; ++i) ++own[half(key_of(values[i]))];
    const std::lock_guard<std::mutex> lock(mutex);
    for (uint32_t bin = 0; bin < kHalf; ++bin) sum[bin] += own[bin];
  });
  return sum;
}

// The bin that holds rank `rank`, which becomes the rank inside it.
uint32_t bin_of(const std::vector<int64_t>& counts, int64_t& rank) {
  uint32_t bin = 0;
  while (rank >= counts[bin]) rank -= counts[bin++];
  return bin;
}

}  // namespace

float smallest_magnitude(const float* values, int64_t count, int64_t rank) {
  if (count <= kFew) return nth_of_few(values, count, rank);
  const uint32_t upper =
      bin_of(histogram(values, count, [](uint32_t key) { return key >> 16; }), rank);
  const uint32_t lower = bin_of(
      histogram(values, count,
                [=](uint32_t key) { return key >> 16 == upper ? key & (kHalf - 1) : kHalf; }),
      rank);
  return float_from_bits(upper << 16 | lower);
}

void keep_largest(const float* values, int64_t count, int64_t removed, uint8_t* mask) {
  if (removed == 0) {
    std::fill(mask, mask + count, uint8_t{1});
    return;
  }
  const uint32_t limit = key_of(smallest_magnitude(values, count, removed - 1));
  int64_t equals = removed;  // of the removed
  for (int64_t i = 0; i < count; ++i) equals -= key_of(values[i]) < limit;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t key = key_of(values[i]);
    const bool is_removed = key < limit || (key == limit && equals > 0);
    equals -= key == limit && is_removed;
    mask[i] = !is_removed;
  }
}

}  // namespace twofour::kernels
