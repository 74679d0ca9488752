#include "twofour/kernels/soft_threshold.h"

#include <algorithm>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/rows.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kBlock = 1 << 14;  // entries: the unit of work and of every sum

// Sums what block(first, last) returns over fixed blocks, in the order of the blocks.
template <class Sum, class Fn>
std::vector<Sum> for_blocks(int64_t count, Fn&& block) {
  std::vector<Sum> sums(static_cast<size_t>((count + kBlock - 1) / kBlock));
  parallel_for(0, static_cast<int64_t>(sums.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      sums[static_cast<size_t>(i)] = block(i * kBlock, std::min(count, (i + 1) * kBlock));
    }
  });
  return sums;
}

// The last half byte of a count that is no multiple of 8.
template <class T>
SoftThresholdSums last_group(const float* w, float scale, T* out, uint8_t* mask) {
  float padded[8] = {w[0], w[1], w[2], w[3], 0.0f, 0.0f, 0.0f, 0.0f};
  T result[8];
  uint8_t byte = static_cast<uint8_t>((*mask & 0xf0u) | 0x3u);  // the padding's mask never flips
  SoftThresholdSums sums = loops<T>().soft_threshold(padded, 8, scale, result, &byte);
  std::copy(result, result + 4, out);
  *mask = byte & 0xf0u;
  sums.zeros -= 4;
  return sums;
}

}  // namespace

double soft_threshold_scale(const float* w, int64_t count) {
  if (count % 4 != 0) fail("{} weights are not a multiple of 4, as 2:4 needs", count);
  const auto blocks = for_blocks<SoftThresholdProducts>(count, [&](int64_t first, int64_t last) {
    return loops<float>().soft_threshold_products(w + first, last - first);
  });
  SoftThresholdProducts sum;
  for (const SoftThresholdProducts& block : blocks) {
    sum.with_weight += block.with_weight;
    sum.with_itself += block.with_itself;
  }
  return sum.with_itself > 0.0 ? sum.with_weight / sum.with_itself : 1.0;
}

template <class T>
SoftThresholdSums soft_threshold24(const float* w, int64_t count, float scale, T* out,
                                   uint8_t* mask) {
  if (count % 4 != 0) fail("{} weights are not a multiple of 4, as 2:4 needs", count);
  const int64_t whole = count / 8 * 8;
  const auto parts = for_blocks<SoftThresholdSums>(whole, [&](int64_t first, int64_t last) {
    return loops<T>().soft_threshold(w + first, last - first, scale, out + first, mask + first / 8);
  });
  SoftThresholdSums sums;
  if (whole < count) sums = last_group(w + whole, scale, out + whole, mask + whole / 8);
  for (const SoftThresholdSums& part : parts) {
    sums.flips += part.flips;
    sums.zeros += part.zeros;
  }
  return sums;
}

#define TWOFOUR_INSTANTIATE(T) \
  template SoftThresholdSums soft_threshold24<T>(const float*, int64_t, float, T*, uint8_t*);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
