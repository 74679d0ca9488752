#include "twofour/text/batches.h"

#include <algorithm>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "testing.h"

namespace twofour::text {
namespace {

class BatchesTest : public ::testing::Test {
 protected:
  // A file of 0, 1, 2, …, so that a token tells its position.
  TokenFile counting_file(int32_t tokens) {
    TokenFileWriter writer(folder_ / "count.bin", 70000, "", true);
    std::vector<int32_t> ids(static_cast<size_t>(tokens));
    std::iota(ids.begin(), ids.end(), 0);
    writer.append(ids);
    writer.commit();
    return TokenFile::open(folder_ / "count.bin");
  }
  testing::TemporaryFolder folder_;
};

TEST_F(BatchesTest, an_epoch_visits_every_window_once_without_overlap) {
  for (const int32_t tokens : {11, 20, 21, 1000, 4099}) {
    const TokenFile file = counting_file(tokens);
    const Batches batches(file, 10, 42);
    const int64_t windows = batches.windows_per_epoch();
    EXPECT_EQ(windows, (tokens - 1) / 10);
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      std::set<int64_t> starts;
      for (int64_t i = 0; i < windows; ++i) {
        std::vector<int64_t> inputs(10), targets(10);
        batches.read(epoch * windows + i, inputs, targets);
        for (size_t k = 0; k < 10; ++k) {
          ASSERT_EQ(inputs[k], inputs[0] + static_cast<int64_t>(k));
          ASSERT_EQ(targets[k], inputs[k] + 1);
        }
        starts.insert(inputs[0]);
      }
      ASSERT_EQ(static_cast<int64_t>(starts.size()), windows);
      for (const int64_t start : starts) ASSERT_EQ((start - *starts.begin()) % 10, 0);
    }
  }
}

TEST_F(BatchesTest, order_depends_on_seed_and_epoch_only) {
  const TokenFile file = counting_file(5000);
  const auto order = [&](uint64_t seed, int64_t first) {
    std::vector<int64_t> inputs(40 * 10), targets(inputs);
    Batches(file, 10, seed).read(first, inputs, targets);
    return inputs;
  };
  EXPECT_EQ(order(1, 0), order(1, 0));
  EXPECT_NE(order(1, 0), order(2, 0));
  EXPECT_NE(order(1, 0), order(1, Batches(file, 10, 1).windows_per_epoch()));
  const auto from_the_middle = order(1, 20);
  EXPECT_TRUE(std::equal(from_the_middle.begin(), from_the_middle.begin() + 200,
                         order(1, 0).begin() + 200));
}

TEST_F(BatchesTest, a_context_longer_than_the_data_is_refused_with_both_numbers) {
  const TokenFile file = counting_file(50);
  EXPECT_EQ(Batches(file, 49, 1).windows_per_epoch(), 1);
  EXPECT_THAT_ERROR(Batches(file, 50, 1), "needs at least 51 tokens");
  EXPECT_THAT_ERROR(Batches(file, 50, 1), "holds 50");
}

TEST(Permuted, is_a_permutation_of_any_size) {
  for (const int64_t size : {1, 2, 3, 4, 5, 17, 64, 1000, 4097}) {
    std::set<int64_t> images;
    for (int64_t i = 0; i < size; ++i) {
      const int64_t image = permuted(i, size, 3, 5);
      ASSERT_GE(image, 0);
      ASSERT_LT(image, size);
      images.insert(image);
    }
    ASSERT_EQ(static_cast<int64_t>(images.size()), size);
  }
}

}  // namespace
}  // namespace twofour::text
