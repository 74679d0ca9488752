// Bits of learned masks do not depend on the instruction set or the threads.
#include <cstring>

#include <gtest/gtest.h>

#include "twofour/kernels/soft_mask/soft_mask.h"
#include "twofour/kernels/soft_mask/soft_mask_testing.h"

namespace twofour::kernels {
namespace {

// All results of one layer, in bits.
template <class L, class W, class T>
std::vector<std::vector<uint32_t>> results_in_bits(const Candidates& c, int64_t rows,
                                                   int64_t columns, SoftMaskOptions options,
                                                   const std::vector<L>& logits,
                                                   const std::vector<W>& weight) {
  const int64_t entries = rows * columns, groups = entries / c.group();
  const auto dmasked = random_values<float>(entries, 71);
  const auto gumbel = random_values<float>(groups * c.count(), 72);
  if (options.noise == Noise::kGiven) options.gumbel = gumbel.data();
  std::vector<T> out(static_cast<size_t>(entries)), again(out.size()), best(out.size());
  auto dlogits = random_values<float>(groups * c.count(), 73);
  auto dweight = random_values<float>(entries, 74);
  const double squares =
      soft_masked_weight(logits.data(), weight.data(), rows, columns, c, options, out.data());
  add_soft_mask_gradients(logits.data(), weight.data(), dmasked.data(), rows, columns, c, options,
                          0.01, dlogits.data(), dweight.data(), again.data());
  best_masked_weight(logits.data(), weight.data(), rows, columns, c, best.data());
  const LogitStatistics statistics =
      logit_statistics(logits.data(), weight.data(), rows, columns, c, options.kappa);
  EXPECT_EQ(bits_of_all(again), bits_of_all(out));
  std::vector<std::vector<uint32_t>> all = {bits_of_all(out), bits_of_all(dlogits),
                                            bits_of_all(dweight), bits_of_all(best)};
  for (const double value : {squares, statistics.largest_probability, statistics.sum,
                             statistics.squares, statistics.kept_squares}) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    all.push_back({static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)});
  }
  return all;
}

template <class L, class W, class T>
void expect_the_same_bits(int64_t kept, int64_t group, int64_t rows, int64_t columns) {
  const Candidates c(kept, group);
  const auto logits = random_values<L>(rows * columns / group * c.count(), 75, 0.01f);
  const auto weight = random_values<W>(rows * columns, 76);
  for (const Noise noise : {Noise::kNone, Noise::kGiven, Noise::kDrawn}) {
    for (const Choice choice : {Choice::kSoft, Choice::kHard}) {
      const SoftMaskOptions options = {
          .kappa = 200, .tau = 0.5f, .choice = choice, .noise = noise, .stream = {5, 6, 7, 8}};
      std::vector<std::vector<uint32_t>> expected;
      for_each_instruction_set_and_thread_count([&](const char* name) {
        const auto bits = results_in_bits<L, W, T>(c, rows, columns, options, logits, weight);
        if (expected.empty()) expected = bits;
        for (size_t i = 0; i < bits.size(); ++i) {
          ASSERT_EQ(bits[i], expected[i])
              << name << ", " << kept << ":" << group << ", " << rows << " x " << columns
              << ", noise " << static_cast<int>(noise) << ", result " << i;
        }
      });
    }
  }
}

TEST(SoftMask, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  for (const auto& [kept, group] : learnable_patterns()) {
    expect_the_same_bits<float, float, float>(kept, group, 3, 7 * group);
  }
  expect_the_same_bits<float, float, bfloat16>(2, 4, 5, 4 * 31);
  expect_the_same_bits<bfloat16, float, float16>(2, 4, 1, 4 * 17);
  expect_the_same_bits<bfloat16, bfloat16, bfloat16>(1, 4, 9, 4 * 3);
  expect_the_same_bits<float, float16, float16>(4, 8, 9, 8 * 5);
}

TEST(SoftMask, of_large_matrices_has_the_same_bits_for_every_set_and_thread_count) {
  expect_the_same_bits<float, float, float>(2, 4, 131, 4 * 101);
  expect_the_same_bits<bfloat16, bfloat16, bfloat16>(1, 4, 67, 4 * 300);
  expect_the_same_bits<float, bfloat16, float>(3, 5, 50, 5 * 211);
}

}  // namespace
}  // namespace twofour::kernels
