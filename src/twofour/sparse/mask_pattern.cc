#include "twofour/sparse/mask_pattern.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

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

}  // namespace twofour::sparse
