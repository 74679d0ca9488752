// The CUDA kernels, with their threads on the CPU (cuda_runtime.h here), give the bits of the CPU's
// kernels.
#include <numeric>

#include <gtest/gtest.h>

#include "twofour/kernels/cuda/cuda.h"
#include "twofour/kernels/forward_weight/soft_threshold.h"
#include "twofour/kernels/fp8/fp8.h"
#include "twofour/kernels/kernels_testing.h"
#include "twofour/kernels/masks/mask.h"
#include "twofour/kernels/mvue/mvue.h"
#include "twofour/kernels/packed24/packed24.h"

namespace twofour::kernels {
namespace {

template <class T>
class CudaOnHost : public testing::Test {};
using Types = testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(CudaOnHost, Types);

struct Shape {
  int64_t rows, columns, stride, offset;  // offset: misalignment of the first row, in entries
};

constexpr Shape kShapes[] = {{1, 4, 4, 0},     {3, 8, 9, 1},      {16, 12, 16, 0}, {5, 132, 140, 4},
                             {8, 256, 256, 3}, {64, 160, 163, 2}, {12, 24, 24, 0}};

template <class T>
std::vector<T> entries_of(const Shape& shape, uint32_t seed) {
  return hostile_values<T>(static_cast<size_t>(shape.rows * shape.stride + shape.offset), seed);
}

std::vector<uint8_t> random_mask(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> mask(static_cast<size_t>(count));
  for (uint8_t& entry : mask) entry = random() % 3 == 0 ? 0 : random() % 2 ? 1 : 7;
  return mask;
}

// Calls both with memory for the result, which they must fill alike.
template <class R, class Cpu, class Cuda>
void expect_same(int64_t count, Cpu&& cpu, Cuda&& cuda) {
  std::vector<R> expected(static_cast<size_t>(count)), result(static_cast<size_t>(count));
  cpu(expected.data());
  cuda(result.data());
  EXPECT_EQ(bits_of_all(expected), bits_of_all(result));
}

TYPED_TEST(CudaOnHost, magnitude_masks_are_those_of_the_cpu) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    const auto weight = entries_of<T>(s, 1);
    const T* in = weight.data() + s.offset;
    for (const auto& [kept, group] : {std::pair{2, 4}, {1, 4}, {1, 2}, {4, 4}, {0, 1}}) {
      expect_same<uint8_t>(
          s.rows * s.columns,
          [&](uint8_t* mask) {
            magnitude_mask<T>(in, s.rows, s.columns, s.stride, kept, group, mask);
          },
          [&](uint8_t* mask) {
            cuda::magnitude_mask<T>(in, s.rows, s.columns, s.stride, kept, group, mask, nullptr);
          });
    }
  }
}

TYPED_TEST(CudaOnHost, masks_of_groups_of_eight_are_those_of_the_cpu) {
  using T = TypeParam;
  const auto weight = hostile_values<T>(30 * 48, 2);
  expect_same<uint8_t>(
      30 * 48, [&](uint8_t* mask) { magnitude_mask<T>(weight.data(), 30, 48, 48, 5, 8, mask); },
      [&](uint8_t* mask) {
        cuda::magnitude_mask<T>(weight.data(), 30, 48, 48, 5, 8, mask, nullptr);
      });
}

TYPED_TEST(CudaOnHost, transposable_masks_are_those_of_the_cpu) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    if (s.rows % 4 != 0) continue;
    const auto weight = entries_of<T>(s, 3);
    const T* in = weight.data() + s.offset;
    expect_same<uint8_t>(
        s.rows * s.columns,
        [&](uint8_t* mask) { transposable_mask24<T>(in, s.rows, s.columns, s.stride, mask); },
        [&](uint8_t* mask) {
          cuda::transposable_mask24<T>(in, s.rows, s.columns, s.stride, mask, nullptr);
        });
  }
}

TYPED_TEST(CudaOnHost, a_mask_keeps_what_it_keeps_on_the_cpu) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    const auto weight = entries_of<T>(s, 4);
    const auto mask = random_mask(s.rows * s.columns, 5);
    const T* in = weight.data() + s.offset;
    expect_same<T>(
        s.rows * s.columns,
        [&](T* out) { apply_mask<T>(in, s.rows, s.columns, s.stride, mask.data(), out); },
        [&](T* out) {
          cuda::apply_mask<T>(in, s.rows, s.columns, s.stride, mask.data(), out, nullptr);
        });
  }
}

TEST(CudaMasks, flips_and_bits_are_those_of_the_cpu) {
  for (const int64_t count : {1, 7, 8, 9, 1000, 4097}) {
    const auto one = random_mask(count, 6), two = random_mask(count, 7);
    int64_t flips = 5;
    cuda::mask_flips(one.data(), two.data(), count, &flips, nullptr);
    EXPECT_EQ(flips, 5 + mask_flips(one.data(), two.data(), count));
    std::vector<uint8_t> bits[2];
    for (int i = 0; i < 2; ++i) {
      bits[i].resize(static_cast<size_t>(count + 7) / 8);
      pack_mask((i ? two : one).data(), count, bits[i].data());
    }
    expect_same<uint8_t>((count + 7) / 8, [&](uint8_t* out) { pack_mask(one.data(), count, out); },
                         [&](uint8_t* out) { cuda::pack_mask(one.data(), count, out, nullptr); });
    expect_same<uint8_t>(
        count, [&](uint8_t* out) { unpack_mask(bits[0].data(), count, out); },
        [&](uint8_t* out) { cuda::unpack_mask(bits[0].data(), count, out, nullptr); });
    // Memory after the last entry does not count.
    bits[1].back() ^= static_cast<uint8_t>(0xff >> ((count + 7) % 8 + 1));
    int64_t differing = 5;
    cuda::bit_flips(bits[0].data(), bits[1].data(), count, &differing, nullptr);
    EXPECT_EQ(differing, flips);
  }
}

TYPED_TEST(CudaOnHost, soft_thresholds_and_their_counts_are_those_of_the_cpu) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    const auto weight = entries_of<float>(s, 8);
    const float* in = weight.data() + s.offset;
    const int64_t count = s.rows * s.columns;
    std::vector<uint8_t> bits[2];
    for (auto& mask : bits) mask.assign(static_cast<size_t>(count + 7) / 8, 0xa5);
    WeightCounts sums;
    int64_t counts[2] = {0, 0};
    expect_same<T>(
        count,
        [&](T* out) {
          sums = soft_threshold24<T>(in, s.rows, s.columns, s.stride, 1.5f, out, bits[0].data());
        },
        [&](T* out) {
          cuda::soft_threshold24<T>(in, s.rows, s.columns, s.stride, 1.5f, out, bits[1].data(),
                                    counts, nullptr);
        });
    EXPECT_EQ(bits[0], bits[1]);
    EXPECT_EQ(sums.flips, counts[0]);
    EXPECT_EQ(sums.zeros, counts[1]);
  }
}

TEST(CudaSoftThreshold, the_scale_is_that_of_the_cpu_up_to_the_order_of_the_sums) {
  for (const Shape& s : {Shape{0, 4, 4, 0},
                         {1, 4, 4, 0},
                         {10, 100, 100, 0},
                         {1, 16384, 16384, 0},
                         {37, 1352, 1355, 2}}) {
    const auto weight = normal_floats(static_cast<size_t>(s.rows * s.stride + s.offset), 9);
    const float* in = weight.data() + s.offset;
    const int64_t count = s.rows * s.columns;
    std::vector<double> workspace(static_cast<size_t>(cuda::soft_threshold_workspace(count)));
    double scale = 0.0;
    cuda::soft_threshold_scale(in, s.rows, s.columns, s.stride, workspace.data(), &scale, nullptr);
    EXPECT_NEAR(scale, soft_threshold_scale(in, s.rows, s.columns, s.stride), 1e-12);
  }
}

TYPED_TEST(CudaOnHost, mvue_draws_what_the_cpu_draws) {
  using T = TypeParam;
  const RandomStream numbers = {77, 5, 2, 9};
  for (const Shape& s : {Shape{1, 1, 1, 0}, Shape{6, 3, 5, 1}, Shape{4, 8, 8, 0},
                         Shape{33, 30, 32, 2}, Shape{64, 64, 64, 0}, Shape{13, 61, 61, 3}}) {
    const auto dz = entries_of<T>(s, 10);
    const T* in = dz.data() + s.offset;
    for (const Mvue kind : {Mvue::kApproximate, Mvue::kExact}) {
      expect_same<T>(
          s.rows * s.columns,
          [&](T* out) { mvue24<T>(in, s.rows, s.columns, s.stride, numbers, out, kind); },
          [&](T* out) {
            cuda::mvue24<T>(in, s.rows, s.columns, s.stride, numbers, out, kind, nullptr);
          });
    }
  }
}

TYPED_TEST(CudaOnHost, float8_roundings_are_those_of_the_cpu) {
  using T = TypeParam;
  const auto in = hostile_values<T>(3001, 11);
  for (const Float8 format : {Float8::kE4M3, Float8::kE5M2}) {
    for (const float scale : {1.0f, 0.037f, 300.0f}) {
      expect_same<T>(
          3001, [&](T* out) { round_to_float8<T>(in.data(), 3001, format, scale, out); },
          [&](T* out) { cuda::round_to_float8<T>(in.data(), 3001, format, scale, out, nullptr); });
    }
  }
  std::vector<T> finite_and_infinite(3);
  store(-2.0f, finite_and_infinite[0]);
  store(std::numeric_limits<float>::infinity(), finite_and_infinite[1]);
  for (const auto& values : {in, finite_and_infinite, std::vector<T>()}) {
    const auto count = static_cast<int64_t>(values.size());
    float amax = 0.0f;
    cuda::largest_magnitude<T>(values.data(), count, &amax, nullptr);
    const float expected = largest_magnitude<T>(values.data(), count);
    EXPECT_TRUE(amax == expected || (amax != amax && expected != expected)) << amax << expected;
  }
}

TYPED_TEST(CudaOnHost, packed_weights_are_those_of_the_cpu) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    const auto weight = entries_of<T>(s, 13);
    const T* in = weight.data() + s.offset;
    auto mask = random_mask(s.rows * s.columns, 14);
    for (int64_t g = 0; g < s.rows * s.columns; g += 4) {
      mask[static_cast<size_t>(g + g / 4 % 3)] = mask[static_cast<size_t>(g + 3)] = 0;
    }
    const auto packed = pack24<T>(in, s.rows, s.columns, s.stride, mask.data());
    std::vector<T> values(packed.values.size());
    std::vector<uint8_t> positions(packed.positions.size());
    int64_t violation = s.rows * s.columns;
    cuda::pack24<T>(in, s.rows, s.columns, s.stride, mask.data(), values.data(), positions.data(),
                    &violation, nullptr);
    EXPECT_EQ(violation, s.rows * s.columns);
    EXPECT_TRUE(std::equal(positions.begin(), positions.end(), packed.positions.data()));
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(bits_of_one(values[i]), bits_of_one(packed.values[i]));
    }
    expect_same<T>(
        s.rows * s.columns, [&](T* out) { unpack24<T>(packed, out, s.columns); },
        [&](T* out) {
          cuda::unpack24<T>(values.data(), positions.data(), s.rows, s.columns, out, s.columns,
                            nullptr);
        });
  }
}

TYPED_TEST(CudaOnHost, packing_names_the_first_group_that_keeps_too_many) {
  using T = TypeParam;
  std::vector<T> weight(20 * 16, T{});
  for (const int first : {19 * 16 + 8, 7 * 16 + 12, 3 * 16}) {
    for (int i = 1; i < 4; ++i) store(1.0f, weight[static_cast<size_t>(first + i)]);
    std::vector<T> values(20 * 8);
    std::vector<uint8_t> positions(20 * 2);
    int64_t violation = 20 * 16;
    cuda::pack24<T>(weight.data(), 20, 16, 16, nullptr, values.data(), positions.data(), &violation,
                    nullptr);
    EXPECT_EQ(violation, first);
  }
}

}  // namespace
}  // namespace twofour::kernels
