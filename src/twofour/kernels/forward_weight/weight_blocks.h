// Splits the flat weight of a layer into fixed blocks. Threads and sums work by blocks, so sums
// have the same order for any number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/forward_weight/weight_counts.h"

namespace twofour::kernels {

constexpr int64_t kWeightBlock = 1 << 14;  // entries

/// The results of block(first, last), in block order.
template <class Sum, class Fn>
std::vector<Sum> for_blocks(int64_t count, Fn&& block) {
  std::vector<Sum> sums(static_cast<size_t>((count + kWeightBlock - 1) / kWeightBlock));
  parallel_for(0, static_cast<int64_t>(sums.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      sums[static_cast<size_t>(i)] =
          block(i * kWeightBlock, std::min(count, (i + 1) * kWeightBlock));
    }
  });
  return sums;
}

inline void require_groups(int64_t count) {
  if (count % 4 != 0) fail("{} weights are not a multiple of 4, as 2:4 needs", count);
}

/// A weight [rows, columns] with rows `stride` entries apart, as flat entries in row order. Blocks
/// count these entries, so a view gives the same bits as its copy.
class FlatWeight {
 public:
  FlatWeight(const float* w, int64_t count) : FlatWeight(w, 1, count, count) {}
  FlatWeight(const float* w, int64_t rows, int64_t columns, int64_t stride)
      : w_(w), count_(rows * columns), columns_(columns), stride_(rows > 1 ? stride : columns) {}

  int64_t count() const { return count_; }

  /// Calls use(entries first to last - 1) for at most a block, in place if no row ends inside.
  template <class Use>
  auto with(int64_t first, int64_t last, Use&& use) const {
    if (stride_ == columns_) return use(w_ + first);
    float gathered[kWeightBlock];
    for (int64_t i = first; i < last;) {
      const int64_t column = i % columns_, here = std::min(last - i, columns_ - column);
      const float* from = w_ + i / columns_ * stride_ + column;
      if (here == last - first) return use(from);
      std::copy(from, from + here, gathered + (i - first));
      i += here;
    }
    return use(static_cast<const float*>(gathered));
  }

 private:
  const float* w_;
  int64_t count_, columns_, stride_;
};

/// Calls loop(w, count, out, mask), which takes multiples of 8 entries and whole mask bytes, for
/// all entries, a multiple of 4. The last four are padded with zeros.
template <class T, class Loop>
WeightCounts weight_and_mask(const FlatWeight& w, T* out, uint8_t* mask, Loop&& loop) {
  const int64_t count = w.count(), whole = count / 8 * 8;
  const auto parts = for_blocks<WeightCounts>(whole, [&](int64_t first, int64_t last) {
    return w.with(first, last, [&](const float* from) {
      return loop(from, last - first, out + first, mask + first / 8);
    });
  });
  WeightCounts counts;
  for (const WeightCounts& part : parts) {
    counts.flips += part.flips;
    counts.zeros += part.zeros;
  }
  if (whole == count) return counts;
  float padded[8] = {};
  w.with(whole, count, [&](const float* from) { std::copy(from, from + 4, padded); });
  T result[8];
  uint8_t& last = mask[whole / 8];
  auto byte = static_cast<uint8_t>((last & 0xf0u) | 0x3u);  // the padding's mask never flips
  const WeightCounts rest = loop(padded, int64_t{8}, result, &byte);
  std::copy(result, result + 4, out + whole);
  last = byte & 0xf0u;
  return {counts.flips + rest.flips, counts.zeros + rest.zeros - 4};
}

}  // namespace twofour::kernels
