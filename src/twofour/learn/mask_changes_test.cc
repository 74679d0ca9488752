#include "twofour/learn/mask_changes.h"

#include <random>

#include <gtest/gtest.h>

#include <ATen/ops/randint.h>

#include "twofour/learn/options.h"
#include "twofour/sparse/masks.h"

#include "testing.h"

namespace twofour::learn {
namespace {

TEST(MaskChanges, are_counted_by_groups_of_any_size) {
  std::mt19937 random(1);
  for (const int64_t group : {2, 3, 4, 5, 8, 16}) {
    for (int trial = 0; trial < 20; ++trial) {
      const int64_t groups = 1 + static_cast<int64_t>(random() % 300);
      const at::Tensor a = at::randint(2, {groups, group}, at::kByte);
      at::Tensor b = a.clone();
      for (int flip = 0; flip < trial; ++flip) {
        auto* entries = b.mutable_data_ptr<uint8_t>();
        entries[random() % static_cast<size_t>(b.numel())] ^= 1;
      }
      const int64_t expected = a.ne(b).any(1).sum().item<int64_t>();
      EXPECT_EQ(changed_groups(sparse::packed_mask(a), sparse::packed_mask(b), group, groups),
                expected)
          << group << " " << trial;
    }
  }
}

TEST(LearnOptions, values_change_linearly_and_reach_the_last_after_the_last_step) {
  const Linear kappa{100, 500};
  EXPECT_EQ(kappa.at(0, 2000), 100);
  EXPECT_EQ(kappa.at(1000, 2000), 300);
  EXPECT_EQ(kappa.at(2000, 2000), 500);
}

TEST(LearnOptions, patterns_have_two_to_seventy_candidates) {
  for (const char* good : {"2:4", "1:4", "4:8", "1:2", "1:16", "2:12"}) {
    EXPECT_NO_THROW(pattern_named(good)) << good;
  }
  for (const char* bad : {"", "2", "4:4", "0:4", "5:4", "4:9", "-1:4", "2:4:8", "0.5", "8:16"}) {
    EXPECT_THROW(pattern_named(bad), Error) << bad;
  }
}

}  // namespace
}  // namespace twofour::learn
