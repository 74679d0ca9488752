// The masks that a group can have: all ways to keep `kept` of `group` entries.
#pragma once

#include <cstdint>
#include <vector>

namespace twofour::kernels {

/// The most candidates of a pattern whose masks can be learned; C(8, 4).
constexpr int64_t kMostCandidates = 70;

/// The candidates of a pattern, with earlier positions first: 1100, 1010, 1001, 0110, 0101, 0011
/// for 2:4 (MaskLLM, arXiv 2409.17481, section 3.2) and 1000, 0100, 0010, 0001 for 1:4.
class Candidates {
 public:
  /// Throws Error (usage) unless 0 < kept < group and there are at most kMostCandidates.
  Candidates(int64_t kept, int64_t group);

  int64_t kept() const { return kept_; }
  int64_t group() const { return group_; }
  int64_t count() const { return count_; }
  /// The kept positions of candidate k, ascending: kept() numbers.
  const uint8_t* positions(int64_t k) const { return positions_.data() + k * kept_; }
  /// The candidate that keeps exactly the nonzero entries of mask [group]; -1 if there is none.
  int64_t index_of(const uint8_t* mask) const;

 private:
  int64_t kept_, group_, count_ = 0;
  std::vector<uint8_t> positions_;
};

}  // namespace twofour::kernels
