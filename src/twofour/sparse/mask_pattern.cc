#include "twofour/sparse/mask_pattern.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/kernels/soft_mask/candidates.h"

namespace twofour::sparse {
namespace {

// The fewest and the most kept entries of a group.
std::pair<int64_t, int64_t> kept_in_groups(const uint8_t* mask, int64_t entries, int64_t group) {
  int64_t fewest = group, most = 0;
  for (int64_t first = 0; first < entries; first += group) {
    const int64_t kept = std::count(mask + first, mask + first + group, uint8_t{1});
    fewest = std::min(fewest, kept);
    most = std::max(most, kept);
  }
  return {fewest, most};
}

int64_t kept_in(const uint8_t* mask, int64_t group) {
  return std::count(mask, mask + group, uint8_t{1});
}

// The ways to keep `kept` of `group`, or any number above the limit.
int64_t ways_to_keep(int64_t kept, int64_t group) {
  int64_t count = 1;
  for (int64_t i = 0; i < std::min(kept, group - kept); ++i) {
    count = count * (group - i) / (i + 1);
    if (count > kernels::kMostCandidates) return count;
  }
  return count;
}

}  // namespace

std::string pattern_of_mask(const uint8_t* mask, int64_t rows, int64_t columns) {
  const int64_t entries = rows * columns;
  const int64_t kept = std::count(mask, mask + entries, uint8_t{1});
  if (kept == entries) return "dense";
  if (kept == 0) return "empty";
  bool is_within_24 = false;
  for (const int64_t group : {4, 8, 2, 3, 5, 6, 7}) {
    if (columns % group != 0) continue;
    const auto [fewest, most] = kept_in_groups(mask, entries, group);
    if (fewest == most) return fmt::format("{}:{}", most, group);
    is_within_24 |= group == 4 && most <= 2;
  }
  return is_within_24 ? "within 2:4" : "unstructured";
}

GroupPattern group_pattern_of(const uint8_t* mask, int64_t rows, int64_t columns) {
  const int64_t entries = rows * columns;
  const int64_t kept = std::count(mask, mask + entries, uint8_t{1});
  if (kept == entries) fail("it keeps every entry");
  if (kept == 0) fail("it keeps no entry");
  int64_t best_group = 0, best_place = -1;
  for (int64_t group = 2; group <= std::min(columns, kernels::kMostCandidates); ++group) {
    if (columns % group != 0) continue;
    const int64_t kept_here = kept_in(mask, group);
    const int64_t place = first_unlike(mask, entries, {kept_here, group});
    if (place < 0) {
      if (ways_to_keep(kept_here, group) <= kernels::kMostCandidates) return {kept_here, group};
      fail("it keeps {} of every {} entries, which has more than {} ways", kept_here, group,
           kernels::kMostCandidates);
    }
    if (place > best_place) best_group = group, best_place = place;
  }
  if (best_group == 0) {
    fail("its rows of {} entries have no groups of 2 to {}", columns, kernels::kMostCandidates);
  }
  const int64_t column = best_place % columns;
  fail("in row {}, columns {} to {} keep {} of {}, the groups before {}", best_place / columns,
       column, column + best_group - 1, kept_in(mask + best_place, best_group), best_group,
       kept_in(mask, best_group));
}

int64_t first_unlike(const uint8_t* mask, int64_t entries, const GroupPattern& pattern) {
  for (int64_t first = 0; first < entries; first += pattern.group) {
    if (kept_in(mask + first, pattern.group) != pattern.kept) return first;
  }
  return -1;
}

}  // namespace twofour::sparse
