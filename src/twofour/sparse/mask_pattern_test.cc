#include "twofour/sparse/mask_pattern.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "testing.h"

namespace twofour::sparse {
namespace {

// Keeps `kept` random entries of every `group`.
std::vector<uint8_t> random_mask(int64_t entries, int64_t kept, int64_t group, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> mask(static_cast<size_t>(entries));
  for (auto first = mask.begin(); first != mask.end(); first += group) {
    std::fill(first, first + kept, uint8_t{1});
    std::shuffle(first, first + group, random);
  }
  return mask;
}

TEST(MaskPattern, is_the_one_that_made_the_mask) {
  std::mt19937 random(1);
  for (const auto& [kept, group] :
       {std::pair{2, 4}, {1, 4}, {3, 4}, {4, 8}, {2, 8}, {5, 8}, {2, 3}, {1, 5}, {5, 6}, {3, 7}}) {
    const auto seed = static_cast<uint32_t>(random());
    const int64_t rows = 11, columns = group * 11;
    auto mask = random_mask(rows * columns, kept, group, seed);
    const std::string name = std::to_string(kept) + ":" + std::to_string(group);
    EXPECT_EQ(pattern_of_mask(mask.data(), rows, columns), name) << "seed " << seed;
    std::fill_n(mask.begin(), group, uint8_t{1});
    EXPECT_EQ(pattern_of_mask(mask.data(), rows, columns), "unstructured") << name;
  }
}

TEST(GroupPattern, is_the_one_with_the_smallest_group_that_fits) {
  std::mt19937 random(2);
  for (const auto& [kept, group] :
       {std::pair{2, 4}, {1, 2}, {3, 4}, {2, 6}, {4, 8}, {1, 70}, {2, 12}}) {
    const auto seed = static_cast<uint32_t>(random());
    const int64_t rows = 50, columns = int64_t{group} * 8;
    auto mask = random_mask(rows * columns, kept, group, seed);
    const GroupPattern pattern = group_pattern_of(mask.data(), rows, columns);
    EXPECT_EQ(pattern.kept, kept) << "seed " << seed;
    EXPECT_EQ(pattern.group, group) << "seed " << seed;
    EXPECT_EQ(first_unlike(mask.data(), rows * columns, pattern), -1);
    // The last group of row 48 keeps one less.
    const int64_t place = 49 * columns - group;
    *std::find(mask.begin() + place, mask.end(), 1) = 0;
    EXPECT_EQ(first_unlike(mask.data(), rows * columns, pattern), place);
    EXPECT_THAT_ERROR(group_pattern_of(mask.data(), rows, columns),
                      "in row 48, columns " + std::to_string(columns - group) + " to " +
                          std::to_string(columns - 1) + " keep " + std::to_string(kept - 1));
  }
}

TEST(GroupPattern, of_too_many_candidates_or_no_groups_is_refused) {
  const auto wide = random_mask(180, 4, 9, 3);  // 126 ways
  EXPECT_THAT_ERROR(group_pattern_of(wide.data(), 20, 9), "more than 70 ways");
  const auto prime = random_mask(73 * 4, 1, 73, 4);
  EXPECT_THAT_ERROR(group_pattern_of(prime.data(), 4, 73), "rows of 73 entries have no groups");
  const std::vector<uint8_t> all(16, 1), none(16, 0);
  EXPECT_THAT_ERROR(group_pattern_of(all.data(), 4, 4), "keeps every entry");
  EXPECT_THAT_ERROR(group_pattern_of(none.data(), 4, 4), "keeps no entry");
}

TEST(MaskPattern, of_few_kept_entries_is_within_two_of_four) {
  auto mask = random_mask(96, 2, 4, 2);
  *std::find(mask.begin(), mask.end(), 1) = 0;
  EXPECT_EQ(pattern_of_mask(mask.data(), 4, 24), "within 2:4");
}

TEST(MaskPattern, of_groups_over_the_end_of_a_row_is_none) {
  const auto mask = random_mask(36, 2, 4, 3);
  EXPECT_EQ(pattern_of_mask(mask.data(), 6, 6), "unstructured");
  EXPECT_EQ(pattern_of_mask(mask.data(), 3, 12), "2:4");
}

TEST(MaskPattern, of_all_and_of_no_entries_is_dense_and_empty) {
  const std::vector<uint8_t> all(40, 1), none(40, 0);
  EXPECT_EQ(pattern_of_mask(all.data(), 5, 8), "dense");
  EXPECT_EQ(pattern_of_mask(none.data(), 5, 8), "empty");
  EXPECT_EQ(pattern_of_mask(none.data(), 0, 8), "dense");
}

}  // namespace
}  // namespace twofour::sparse
