#include "twofour/kernels/masks/mask.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/group.h"
#include "twofour/kernels/kernels_testing.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

std::vector<uint8_t> magnitude_mask24(const std::vector<float>& weight) {
  std::vector<uint8_t> mask(weight.size());
  const auto columns = static_cast<int64_t>(weight.size());
  magnitude_mask(weight.data(), 1, columns, columns, 2, 4, mask.data());
  return mask;
}

// The fractions of the L1 norm and of the energy that a mask keeps.
std::pair<double, double> kept_shares(const std::vector<float>& weight,
                                      const std::vector<uint8_t>& mask) {
  double norm = 0, energy = 0, kept_norm = 0, kept_energy = 0;
  for (size_t i = 0; i < weight.size(); ++i) {
    const double a = std::fabs(weight[i]);
    norm += a;
    energy += a * a;
    kept_norm += a * mask[i];
    kept_energy += a * a * mask[i];
  }
  return {kept_norm / norm, kept_energy / energy};
}

TEST(MagnitudeMask, keeps_the_expected_share_of_norm_and_energy) {
  // METHODS, section 1: U(0,1) 0.700 / 0.800, Gaussian 0.744 / 0.867.
  const auto flat = uniform_floats(400000, 1), normal = normal_floats(400000, 2);
  EXPECT_NEAR(kept_shares(flat, magnitude_mask24(flat)).first, 0.700, 2e-3);
  EXPECT_NEAR(kept_shares(flat, magnitude_mask24(flat)).second, 0.800, 2e-3);
  EXPECT_NEAR(kept_shares(normal, magnitude_mask24(normal)).first, 0.744, 2e-3);
  EXPECT_NEAR(kept_shares(normal, magnitude_mask24(normal)).second, 0.867, 2e-3);
}

TEST(MagnitudeMask, equals_the_golden_masks) {
  for (const char* file : {"magnitude", "magnitude_ties"}) {
    const auto golden = testing::golden(file);
    int compared = 0;
    for (const auto& [name, expected] : golden) {
      const size_t at = name.find("mask");
      if (at == std::string::npos) continue;
      int kept = 2, group = 4;
      std::sscanf(name.c_str() + at, "mask_%d_%d", &kept, &group);
      const auto& weight = golden.at(name.starts_with("uniform") ? "uniform" : "weight");
      const auto values = weight.floats();
      std::vector<uint8_t> mask(values.size());
      magnitude_mask(values.data(), weight.shape[0], weight.shape[1], weight.shape[1], kept, group,
                     mask.data());
      const std::vector<double> as_double(mask.begin(), mask.end());
      EXPECT_EQ(as_double, expected.values) << file << " " << name;
      ++compared;
    }
    EXPECT_GT(compared, 0) << file;
  }
}

TEST(MagnitudeMask, refuses_columns_that_the_group_does_not_divide) {
  float weight[6] = {};
  uint8_t mask[6];
  EXPECT_THAT_ERROR(magnitude_mask(weight, 1, 6, 6, 2, 4, mask),
                    "6 columns are not a multiple of 4");
  EXPECT_THAT_ERROR(magnitude_mask(weight, 1, 6, 6, 3, 2, mask), "3:2");
}

template <class T>
class Mask : public ::testing::Test {};
using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(Mask, Types);

TYPED_TEST(Mask, by_magnitude_is_the_definition_for_every_pattern_and_instruction_set) {
  for (int group = 1; group <= 8; ++group) {
    for (const int64_t groups : {1, 3, 8, 17, 40}) {
      const int64_t rows = 3, columns = group * groups, stride = columns + 5;
      const auto weight = hostile_values<TypeParam>(static_cast<size_t>(rows * stride + 1),
                                                    static_cast<uint32_t>(group));
      const TypeParam* w = weight.data() + 1;
      for (int kept = 0; kept <= group; ++kept) {
        std::vector<uint8_t> expected(static_cast<size_t>(rows * columns)), mask(expected.size());
        for (int64_t i = 0; i < rows * columns; ++i) {
          float values[8];
          const int64_t begin = i / columns * stride + i % columns / group * group;
          for (int k = 0; k < group; ++k) values[k] = to_float(w[begin + k]);
          expected[static_cast<size_t>(i)] =
              is_kept(values, group, kept, static_cast<int>(i % columns % group));
        }
        for_each_instruction_set_and_thread_count([&](const char* name) {
          magnitude_mask(w, rows, columns, stride, kept, group, mask.data());
          ASSERT_EQ(mask, expected) << name << " " << kept << ":" << group;
        });
      }
    }
  }
}

// The largest sum of kept magnitudes of a block over all 90 patterns, in double.
double best_of_90(const double (&a)[16], int& patterns) {
  double best = -1.0;
  patterns = 0;
  for (uint32_t kept = 0; kept < 0x10000u; ++kept) {
    bool valid = true;
    double sum = 0.0;
    for (uint32_t r = 0; r < 4 && valid; ++r) {
      valid = __builtin_popcount(kept >> 4 * r & 15u) == 2 &&
              __builtin_popcount(kept >> r & 0x1111u) == 2;
    }
    if (!valid) continue;
    ++patterns;
    for (uint32_t i = 0; i < 16; ++i) sum += kept >> i & 1u ? a[i] : 0.0;
    best = std::max(best, sum);
  }
  return best;
}

TYPED_TEST(Mask, transposable_keeps_the_most_that_any_of_the_90_patterns_does) {
  constexpr int64_t kColumns = 4 * 37, kStride = kColumns + 3;
  std::vector<TypeParam> weight(4 * kStride);
  const auto values = normal_floats(weight.size(), 21);
  for (size_t i = 0; i < weight.size(); ++i) store(values[i], weight[i]);
  std::vector<uint8_t> mask(4 * kColumns);
  transposable_mask24(weight.data(), 4, kColumns, kStride, mask.data());
  for (int64_t begin = 0; begin < kColumns; begin += 4) {
    double a[16], sum = 0.0;
    for (int64_t i = 0; i < 16; ++i) {
      a[i] = std::fabs(to_float(weight[static_cast<size_t>(i / 4 * kStride + begin + i % 4)]));
      sum += a[i] * mask[static_cast<size_t>(i / 4 * kColumns + begin + i % 4)];
    }
    int patterns;
    EXPECT_NEAR(sum, best_of_90(a, patterns), 1e-5);
    EXPECT_EQ(patterns, 90);
  }
}

// The search finds each of the 90 patterns when its entries are the large ones.
TEST(TransposableMask, finds_each_of_the_90_patterns) {
  int found = 0;
  for (uint32_t kept = 0; kept < 0x10000u; ++kept) {
    bool valid = true;
    for (uint32_t r = 0; r < 4; ++r) {
      valid &= __builtin_popcount(kept >> 4 * r & 15u) == 2 &&
               __builtin_popcount(kept >> r & 0x1111u) == 2;
    }
    if (!valid) continue;
    ++found;
    float block[16];
    uint8_t mask[16];
    for (uint32_t i = 0; i < 16; ++i) block[i] = kept >> i & 1u ? -1.0f : 0.9f;
    transposable_mask24(block, 4, 4, 4, mask);
    for (uint32_t i = 0; i < 16; ++i) ASSERT_EQ(mask[i], kept >> i & 1u) << kept;
  }
  EXPECT_EQ(found, 90);
}

TYPED_TEST(Mask, transposable_keeps_two_in_every_row_and_column_the_same_for_every_set) {
  for (const int64_t rows : {4, 12}) {
    for (const int64_t columns : {4, 8, 28, 32, 36, 64, 68, 128, 260}) {
      const int64_t stride = columns + 7;
      const auto weight = hostile_values<TypeParam>(static_cast<size_t>(rows * stride + 1), 22);
      std::vector<uint8_t> reference, mask(static_cast<size_t>(rows * columns));
      for_each_instruction_set_and_thread_count([&](const char* name) {
        transposable_mask24(weight.data() + 1, rows, columns, stride, mask.data());
        if (reference.empty()) reference = mask;
        ASSERT_EQ(mask, reference) << name << " " << columns;
      });
      for (int64_t r = 0; r < rows; r += 4) {
        for (int64_t c = 0; c < columns; c += 4) {
          for (int64_t i = 0; i < 4; ++i) {
            int in_row = 0, in_column = 0;
            for (int64_t j = 0; j < 4; ++j) {
              in_row += mask[static_cast<size_t>((r + i) * columns + c + j)];
              in_column += mask[static_cast<size_t>((r + j) * columns + c + i)];
            }
            ASSERT_EQ(in_row, 2);
            ASSERT_EQ(in_column, 2);
          }
        }
      }
    }
  }
}

TEST(TransposableMask, keeps_the_expected_share_of_norm_and_energy) {
  // METHODS, section 1: U(0,1) 0.662 / 0.743, Gaussian 0.702 / 0.818.
  const auto flat = uniform_floats(512 * 800, 23), normal = normal_floats(512 * 800, 24);
  std::vector<uint8_t> mask(flat.size());
  transposable_mask24(flat.data(), 512, 800, 800, mask.data());
  EXPECT_NEAR(kept_shares(flat, mask).first, 0.662, 2e-3);
  EXPECT_NEAR(kept_shares(flat, mask).second, 0.743, 2e-3);
  transposable_mask24(normal.data(), 512, 800, 800, mask.data());
  EXPECT_NEAR(kept_shares(normal, mask).first, 0.702, 2e-3);
  EXPECT_NEAR(kept_shares(normal, mask).second, 0.818, 2e-3);
}

TEST(TransposableMask, equals_the_golden_masks) {
  const auto golden = testing::golden("transposable");
  int compared = 0;
  for (const auto& [name, expected] : golden) {
    if (name.find("mask") == std::string::npos) continue;
    const auto& weight = golden.at(name.starts_with("uniform") ? "uniform" : "weight");
    const auto values = weight.floats();
    std::vector<uint8_t> mask(values.size());
    transposable_mask24(values.data(), weight.shape[0], weight.shape[1], weight.shape[1],
                        mask.data());
    EXPECT_EQ(std::vector<double>(mask.begin(), mask.end()), expected.values) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 2);
}

TEST(TransposableMask, refuses_what_has_no_4_x_4_blocks) {
  float weight[24] = {};
  uint8_t mask[24];
  EXPECT_THAT_ERROR(transposable_mask24(weight, 6, 4, 4, mask), "6 x 4");
  EXPECT_THAT_ERROR(transposable_mask24(weight, 4, 6, 6, mask), "multiples of 4");
}

TYPED_TEST(Mask, applied_leaves_what_is_kept_and_zeroes_the_rest_nan_included) {
  constexpr int64_t kRows = 5, kStride = 90;
  for (const int64_t columns : {1, 15, 64, 77}) {
    const auto weight = hostile_values<TypeParam>(kRows * kStride, 25);
    std::vector<uint8_t> mask(static_cast<size_t>(kRows * columns));
    std::mt19937 random(26);
    for (uint8_t& kept : mask) kept = random() % 2;
    std::vector<TypeParam> out(mask.size());
    for_each_instruction_set_and_thread_count([&](const char* name) {
      apply_mask(weight.data(), kRows, columns, kStride, mask.data(), out.data());
      for (int64_t i = 0; i < kRows * columns; ++i) {
        const auto& in = weight[static_cast<size_t>(i / columns * kStride + i % columns)];
        ASSERT_EQ(bits_of_one(out[static_cast<size_t>(i)]),
                  mask[static_cast<size_t>(i)] ? bits_of_one(in) : 0u)
            << name;
      }
      apply_mask(out.data(), kRows, columns, columns, mask.data(), out.data());  // in place
      ASSERT_EQ(bits_of_one(out[0]), mask[0] ? bits_of_one(weight[0]) : 0u);
    });
  }
}

TEST(MaskBits, hold_eight_entries_a_byte_the_first_in_the_highest_bit) {
  const uint8_t mask[10] = {1, 0, 0, 7, 0, 0, 0, 255, 0, 2};
  uint8_t bits[2] = {0xff, 0xff};
  pack_mask(mask, 10, bits);
  EXPECT_EQ(bits[0], 0x91);
  EXPECT_EQ(bits[1], 0x40);
}

TEST(MaskBits, are_packed_unpacked_and_compared_the_same_by_every_set) {
  std::mt19937 random(27);
  for (const int64_t count : {0, 1, 7, 8, 9, 31, 32, 63, 64, 65, 200, 1000, 100003, 300000}) {
    const auto size = static_cast<size_t>(count);
    std::vector<uint8_t> mask(size + 1), other(size + 1), bits(size / 8 + 2), back(size + 1);
    std::vector<uint8_t> other_bits(bits.size());
    for (uint8_t& kept : mask) kept = random() % 2;
    for (uint8_t& kept : other) kept = random() % 3 ? 0 : static_cast<uint8_t>(random());
    int64_t flips = 0;
    for (size_t i = 1; i <= size; ++i) flips += (mask[i] != 0) != (other[i] != 0);
    for_each_instruction_set_and_thread_count([&](const char* name) {
      pack_mask(mask.data() + 1, count, bits.data() + 1);
      pack_mask(other.data() + 1, count, other_bits.data() + 1);
      for (size_t i = 0; i < size; ++i) {
        ASSERT_EQ(bits[1 + i / 8] >> (7 - i % 8) & 1, mask[i + 1]) << name << " " << i;
      }
      unpack_mask(bits.data() + 1, count, back.data() + 1);
      ASSERT_TRUE(std::equal(back.begin() + 1, back.end(), mask.begin() + 1)) << name;
      ASSERT_EQ(mask_flips(mask.data() + 1, other.data() + 1, count), flips) << name;
      ASSERT_EQ(bit_flips(bits.data() + 1, other_bits.data() + 1, count), flips) << name;
      if (count % 8 != 0) {  // bits beyond the count do not matter
        other_bits[1 + size / 8] ^= 1u;
        ASSERT_EQ(bit_flips(bits.data() + 1, other_bits.data() + 1, count), flips) << name;
      }
    });
  }
}

}  // namespace
}  // namespace twofour::kernels
