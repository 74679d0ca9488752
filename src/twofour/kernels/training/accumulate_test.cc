#include "twofour/kernels/training/accumulate.h"

#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

template <class T>
class Accumulate : public ::testing::Test {};
using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(Accumulate, Types);

TYPED_TEST(Accumulate, adds_in_float32_the_same_for_every_instruction_set_and_thread_count) {
  for (const size_t count : {1u, 15u, 16u, 17u, 1000u, 50001u}) {
    const auto sums = normal_floats(count, 35), values = normal_floats(count, 36);
    std::vector<TypeParam> in(count);
    std::vector<float> expected(count);
    for (size_t i = 0; i < count; ++i) {
      store(values[i], in[i]);
      expected[i] = sums[i] + to_float(in[i]);
    }
    for_each_instruction_set_and_thread_count([&](const char* name) {
      auto out = sums;
      accumulate(in.data(), out.data(), static_cast<int64_t>(count));
      ASSERT_EQ(out, expected) << name << " " << count;
    });
  }
}

}  // namespace
}  // namespace twofour::kernels
