#include "twofour/kernels/soft_mask/candidates.h"

#include <algorithm>

#include "twofour/base/error.h"

namespace twofour::kernels {
namespace {

// The number of candidates, or one more than the most.
int64_t number_of_candidates(int64_t kept, int64_t group) {
  int64_t count = 1;
  for (int64_t i = 1; i <= std::min(kept, group - kept); ++i) {
    count = count * (group - i + 1) / i;
    if (count > kMostCandidates) return kMostCandidates + 1;
  }
  return count;
}

// The next larger set of positions in lexicographic order; false after the last one.
bool advance(std::vector<uint8_t>& positions, int64_t group) {
  const auto kept = static_cast<int64_t>(positions.size());
  for (int64_t i = kept - 1; i >= 0; --i) {
    auto& position = positions[static_cast<size_t>(i)];
    if (position == group - kept + i) continue;
    ++position;
    for (int64_t j = i + 1; j < kept; ++j) {
      positions[static_cast<size_t>(j)] = static_cast<uint8_t>(position + (j - i));
    }
    return true;
  }
  return false;
}

}  // namespace

Candidates::Candidates(int64_t kept, int64_t group) : kept_(kept), group_(group) {
  if (kept < 1 || kept >= group) {
    fail_usage("the pattern {}:{} is not one of N:M with 0 < N < M", kept, group);
  }
  count_ = number_of_candidates(kept, group);
  if (count_ > kMostCandidates) {
    fail_usage("the pattern {}:{} has more than {} masks a group, too many to learn", kept, group,
               kMostCandidates);
  }
  std::vector<uint8_t> positions(static_cast<size_t>(kept));
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<uint8_t>(i);
  do {
    positions_.insert(positions_.end(), positions.begin(), positions.end());
  } while (advance(positions, group));
}

int64_t Candidates::index_of(const uint8_t* mask) const {
  if (group_ - std::count(mask, mask + group_, uint8_t{0}) != kept_) return -1;
  for (int64_t k = 0; k < count_; ++k) {
    const uint8_t* const at = positions(k);
    if (std::all_of(at, at + kept_, [&](uint8_t i) { return mask[i] != 0; })) return k;
  }
  return -1;
}

}  // namespace twofour::kernels
