#include "twofour/kernels/soft_mask/candidates.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <gtest/gtest.h>

#include "twofour/kernels/soft_mask/soft_mask_testing.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

TEST(Candidates, are_all_masks_in_the_order_of_their_positions) {
  for (const auto& [kept, group] : learnable_patterns()) {
    const Candidates candidates(kept, group);
    double expected = 1;
    for (int64_t i = 0; i < kept; ++i) {
      expected = expected * static_cast<double>(group - i) / static_cast<double>(i + 1);
    }
    ASSERT_EQ(candidates.count(), std::llround(expected)) << kept << ":" << group;
    for (int64_t k = 0; k < candidates.count(); ++k) {
      const uint8_t* const at = candidates.positions(k);
      std::vector<uint8_t> mask(static_cast<size_t>(group));
      for (int64_t i = 0; i < kept; ++i) mask[at[i]] = static_cast<uint8_t>(2 * i + 1);
      ASSERT_EQ(candidates.index_of(mask.data()), k);
      if (k == 0) continue;
      const uint8_t* const before = candidates.positions(k - 1);
      ASSERT_TRUE(std::lexicographical_compare(before, before + kept, at, at + kept));
    }
  }
}

TEST(Candidates, of_two_in_four_have_the_order_of_the_paper) {
  const Candidates candidates(2, 4);
  const uint8_t masks[6][4] = {{1, 1, 0, 0}, {1, 0, 1, 0}, {1, 0, 0, 1},
                               {0, 1, 1, 0}, {0, 1, 0, 1}, {0, 0, 1, 1}};
  for (int64_t k = 0; k < 6; ++k) EXPECT_EQ(candidates.index_of(masks[k]), k);
  for (const auto& other : {std::array<uint8_t, 4>{1, 1, 1, 0}, {1, 0, 0, 0}, {0, 0, 0, 0}}) {
    EXPECT_EQ(candidates.index_of(other.data()), -1);
  }
}

TEST(Candidates, refuse_patterns_that_cannot_be_learned) {
  EXPECT_THAT_ERROR(Candidates(0, 4), "the pattern 0:4 is not one of N:M with 0 < N < M");
  EXPECT_THAT_ERROR(Candidates(4, 4), "the pattern 4:4");
  EXPECT_THAT_ERROR(Candidates(-1, 4), "the pattern -1:4");
  EXPECT_THAT_ERROR(Candidates(1, 71), "the pattern 1:71 has more than 70 masks");
  EXPECT_THAT_ERROR(Candidates(4, 9), "more than 70 masks");
  EXPECT_THAT_ERROR(Candidates(int64_t{1} << 61, int64_t{1} << 62), "more than 70 masks");
}

}  // namespace
}  // namespace twofour::kernels
