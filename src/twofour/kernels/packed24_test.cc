#include "twofour/kernels/packed24.h"

#include <random>

#include <gtest/gtest.h>

#include "twofour/kernels/mask.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

// A random 2:4 matrix whose groups also have one or no entry that is not zero.
std::vector<float> random_sparse(int64_t rows, int64_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> weight(static_cast<size_t>(rows * columns), 0.0f);
  for (size_t group = 0; group + 4 <= weight.size(); group += 4) {
    weight[group + random() % 4] = normal(random);
    if (random() % 4) weight[group + random() % 4] = normal(random);
    if (random() % 8 == 0) std::fill_n(weight.begin() + static_cast<int64_t>(group), 4, 0.0f);
  }
  return weight;
}

TEST(Packed24, holds_every_2_4_matrix_exactly) {
  for (const int64_t columns : {4, 8, 12, 64, 100}) {
    for (const int64_t rows : {1, 3, 17}) {
      const auto weight = random_sparse(rows, columns, static_cast<uint32_t>(rows * columns));
      const auto packed = pack24(weight.data(), rows, columns, columns);
      EXPECT_EQ(packed.values.size(), weight.size() / 2);
      EXPECT_EQ(packed.positions.size(), static_cast<size_t>(rows * ((columns + 7) / 8)));
      std::vector<float> back(weight.size(), 7.0f);
      unpack24(packed, back.data(), columns);
      EXPECT_EQ(back, weight);
    }
  }
}

TEST(Packed24, takes_nine_sixteenths_of_the_dense_bytes_in_bfloat16) {
  const std::vector<bfloat16> weight(32 * 64, bfloat16{0});
  const auto packed = pack24(weight.data(), 32, 64, 64);
  EXPECT_EQ((packed.values.size() * 2 + packed.positions.size()) * 16, weight.size() * 2 * 9);
}

TEST(Packed24, positions_are_always_two_different_ones_in_order) {
  for (uint32_t kept = 0; kept < 16; ++kept) {
    const uint32_t position = position_of(kept);
    if (__builtin_popcount(kept) > 2) {
      EXPECT_EQ(position, 0u);
      continue;
    }
    EXPECT_LT(position & 3, position >> 2);
    const uint32_t covered = 1u << (position & 3) | 1u << (position >> 2);
    EXPECT_EQ(kept & ~covered, 0u) << kept;
  }
}

TEST(Packed24, a_mask_decides_what_stays_also_of_zeros_and_where_it_keeps_one) {
  const std::vector<float> weight = {1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 10};
  const std::vector<uint8_t> mask = {1, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0};
  std::vector<float> back(weight.size());
  unpack24(pack24(weight.data(), 1, 12, 12, mask.data()), back.data(), 12);
  EXPECT_EQ(back, (std::vector<float>{1, 0, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0}));
}

TEST(Packed24, respects_a_row_stride) {
  const auto weight = random_sparse(5, 16, 3);
  std::vector<float> wide(5 * 20, 9.0f);
  for (size_t r = 0; r < 5; ++r) std::copy_n(&weight[r * 16], 16, &wide[r * 20]);
  std::vector<float> back(weight.size());
  unpack24(pack24(wide.data(), 5, 16, 20), back.data(), 16);
  EXPECT_EQ(back, weight);
}

TEST(Packed24, names_the_first_violation) {
  std::vector<float> weight(8 * 16, 0.0f);
  for (const size_t at : {3 * 16 + 4, 3 * 16 + 5, 3 * 16 + 7, 6 * 16, 6 * 16 + 1, 6 * 16 + 2}) {
    weight[at] = 1.0f;
  }
  EXPECT_THAT_ERROR(pack24(weight.data(), 8, 16, 16),
                    "row 3 keeps more than two of the four entries from column 4");
  EXPECT_THAT_ERROR(pack24(weight.data(), 8, 14, 16), "14 columns");
}

}  // namespace
}  // namespace twofour::kernels
