#include "twofour/base/random.h"

#include <set>

#include <gtest/gtest.h>

namespace twofour {
namespace {

TEST(Philox, equals_the_published_known_answers) {
  // Random123's kat_vectors, philox4x32 with 10 rounds.
  EXPECT_EQ(philox({0, 0, 0, 0}, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, ~uint64_t{0}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822ull),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, every_field_makes_another_stream) {
  std::set<PhiloxBlock> blocks;
  for (uint64_t seed : {0, 1})
    for (uint32_t step : {0, 1})
      for (uint32_t micro_batch : {0, 1})
        for (uint32_t tensor : {0, 1})
          for (uint32_t index : {0, 1})
            blocks.insert(RandomStream{seed, step, micro_batch, tensor}(index));
  EXPECT_EQ(blocks.size(), 32u);
}

TEST(RandomStream, uniform_numbers_stay_below_one) {
  EXPECT_EQ(uniform_from_bits(0), 0.0f);
  EXPECT_LT(uniform_from_bits(0xffffffff), 1.0f);
}

TEST(RandomStream, whole_numbers_below_a_size_are_uniform) {
  EXPECT_EQ(below_from_block({0, 0, 0, 0}, 7), 0u);
  EXPECT_EQ(below_from_block({~0u, ~0u, 0, 0}, uint64_t{1} << 63), (uint64_t{1} << 63) - 1);
  const RandomStream stream{5, 0, 0, RandomStream::kCalibration};
  int counts[6] = {};
  for (uint32_t i = 0; i < 60000; ++i) ++counts[below_from_block(stream(i), 6)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 400) << "4 standard deviations are 365";
}

}  // namespace
}  // namespace twofour
