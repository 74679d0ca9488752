#include "twofour/kernels/pruning/select.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

uint32_t magnitude_bits(float value) { return bits_of(value) & 0x7fffffffu; }

// The entries in ascending order, of equals the earlier first.
std::vector<size_t> ascending(const std::vector<float>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return magnitude_bits(values[a]) < magnitude_bits(values[b]);
  });
  return order;
}

TEST(Select, finds_what_sorting_finds_for_few_and_many_values) {
  for (const size_t count : {1, 2, 50, 4097, 70001, 300000}) {
    auto values = hostile_values<float>(count, static_cast<uint32_t>(count));
    for (size_t i = 0; i < count; i += 3) values[i] = values[i / 2];
    const auto order = ascending(values);
    for (const size_t rank : {size_t{0}, count / 7, count / 2, count - 1}) {
      const float limit = smallest_magnitude(values.data(), static_cast<int64_t>(count),
                                             static_cast<int64_t>(rank));
      ASSERT_EQ(bits_of(limit), magnitude_bits(values[order[rank]])) << count << ", " << rank;
      std::vector<uint8_t> mask(count), expected(count, 1);
      keep_largest(values.data(), static_cast<int64_t>(count), static_cast<int64_t>(rank),
                   mask.data());
      for (size_t i = 0; i < rank; ++i) expected[order[i]] = 0;
      ASSERT_EQ(mask, expected) << count << ", " << rank;
    }
  }
}

TEST(Select, removes_the_earlier_of_equals_and_can_remove_all) {
  const std::vector<float> values = {1, -1, 1, 1};
  std::vector<uint8_t> mask(4);
  keep_largest(values.data(), 4, 3, mask.data());
  EXPECT_EQ(mask, (std::vector<uint8_t>{0, 0, 0, 1}));
  keep_largest(values.data(), 4, 4, mask.data());
  EXPECT_EQ(mask, (std::vector<uint8_t>{0, 0, 0, 0}));
}

}  // namespace
}  // namespace twofour::kernels
