// The merges of byte-pair encoding, for symbols of any kind (Sennrich et al., arXiv 1508.07909,
// section 3.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace twofour::text {

/// A table from pairs of symbols to their merge. Immutable once filled; merge() may be called from
/// several threads at once.
class BpeMerges {
 public:
  /// Room for `count` merges.
  explicit BpeMerges(size_t count);

  /// Replaces an equal pair: the last one counts, as in Hugging Face's.
  void insert(int32_t left, int32_t right, int32_t rank, int32_t result);

  /// The merge of lowest rank first, the leftmost of equals, until none is left. O(n log n).
  void merge(std::vector<int32_t>& symbols) const;

 private:
  struct Slot {
    uint64_t pair = ~uint64_t{0};
    int32_t rank = 0, result = 0;
  };
  const Slot* find(int32_t left, int32_t right) const;
  void merge_short(std::vector<int32_t>& symbols) const;
  void merge_long(std::vector<int32_t>& symbols) const;

  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
};

}  // namespace twofour::text
