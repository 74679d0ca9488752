#include "twofour/kernels/decode/token_rows.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"
#include "twofour/kernels/products/products_testing.h"

namespace twofour::kernels {
namespace {

template <class T>
class TokenRows : public KernelTest {};

using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(TokenRows, Types);

template <class T>
std::vector<T> rounded(const std::vector<float>& values) {
  std::vector<T> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) store(values[i], out[i]);
  return out;
}

constexpr int64_t kCounts[] = {1, 2, 15, 16, 50, 64, 257, 768};
constexpr float kEpsilon = 1e-5f;

struct Row {
  std::vector<float> x, weight, bias;
  explicit Row(int64_t count)
      : x(normal_floats(static_cast<size_t>(count), 1)),
        weight(normal_floats(static_cast<size_t>(count), 2)),
        bias(normal_floats(static_cast<size_t>(count), 3)) {
    for (float& value : x) value += 3.0f;  // a nonzero mean
  }
};

TYPED_TEST(TokenRows, norms_are_what_they_are_called) {
  using T = TypeParam;
  for (const int64_t count : kCounts) {
    const Row row(count);
    const auto x = rounded<T>(row.x);
    double mean = 0, squares = 0, variance = 0;
    for (const T value : x) mean += to_float(value) / static_cast<double>(count);
    for (const T value : x) {
      squares += std::pow(to_float(value), 2) / static_cast<double>(count);
      variance += std::pow(to_float(value) - mean, 2) / static_cast<double>(count);
    }
    std::vector<T> layer(x.size()), rms(x.size());
    layer_norm(x.data(), count, row.weight.data(), row.bias.data(), kEpsilon, layer.data());
    rms_norm(x.data(), count, row.weight.data(), kEpsilon, rms.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double value = to_float(x[i]), w = row.weight[i];
      const double by_layer = (value - mean) / std::sqrt(variance + kEpsilon) * w + row.bias[i];
      const double by_rms = value / std::sqrt(squares + kEpsilon) * w;
      EXPECT_NEAR(to_float(layer[i]), by_layer, 4 * kRounding<T> * (std::fabs(by_layer) + 1));
      EXPECT_NEAR(to_float(rms[i]), by_rms, 4 * kRounding<T> * (std::fabs(by_rms) + 1));
    }
  }
}

TYPED_TEST(TokenRows, pairs_turn_by_their_angles_and_silu_gates) {
  using T = TypeParam;
  for (const int64_t half : {1, 4, 16, 33, 64}) {
    std::vector<float> angles = normal_floats(static_cast<size_t>(half), 7), cosine, sine;
    for (const float angle : angles) {
      cosine.push_back(std::cos(angle));
      sine.push_back(std::sin(angle));
    }
    const auto before = rounded<T>(normal_floats(static_cast<size_t>(2 * half), 8));
    const auto up = rounded<T>(normal_floats(static_cast<size_t>(2 * half), 9));
    auto turned = before, gated = before;
    rotate(turned.data(), half, rounded<T>(cosine).data(), rounded<T>(sine).data());
    silu_times(gated.data(), up.data(), 2 * half);
    for (int64_t i = 0; i < half; ++i) {
      const auto k = static_cast<size_t>(i), other = static_cast<size_t>(i + half);
      const double a = to_float(before[k]), b = to_float(before[other]), angle = angles[k];
      const double tolerance = 4 * kRounding<T> * (std::fabs(a) + std::fabs(b) + 0.1);
      EXPECT_NEAR(to_float(turned[k]), a * std::cos(angle) - b * std::sin(angle), tolerance);
      EXPECT_NEAR(to_float(turned[other]), b * std::cos(angle) + a * std::sin(angle), tolerance);
      const double silu = a / (1 + std::exp(-a)) * to_float(up[k]);
      EXPECT_NEAR(to_float(gated[k]), silu, 4 * kRounding<T> * (std::fabs(silu) + 0.01));
    }
  }
}

// Values are rounded to T where ATen has a tensor of T between two operators.
TYPED_TEST(TokenRows, round_where_the_operators_of_tensors_round) {
  using T = TypeParam;
  const auto round_to = [](float value) {
    T out;
    store(value, out);
    return to_float(out);
  };
  const auto before = rounded<T>(normal_floats(64, 11)), up = rounded<T>(normal_floats(64, 12));
  const auto cosine = rounded<T>(normal_floats(32, 13)), sine = rounded<T>(normal_floats(32, 14));
  auto turned = before, sum = before;
  rotate(turned.data(), 32, cosine.data(), sine.data());
  add(sum.data(), up.data(), 64);
  for (size_t i = 0; i < 32; ++i) {
    const float a = to_float(before[i]), b = to_float(before[i + 32]);
    const float c = to_float(cosine[i]), s = to_float(sine[i]);
    EXPECT_EQ(to_float(turned[i]), round_to(round_to(a * c) - round_to(b * s)));
    EXPECT_EQ(to_float(turned[i + 32]), round_to(round_to(b * c) + round_to(a * s)));
    EXPECT_EQ(to_float(sum[i]), round_to(a + to_float(up[i])));
  }
}

TYPED_TEST(TokenRows, have_the_same_bits_on_every_instruction_set) {
  using T = TypeParam;
  for (const int64_t count : kCounts) {
    const Row row(count);
    const auto x = hostile_values<T>(static_cast<size_t>(2 * count), 5);
    const auto y = hostile_values<T>(static_cast<size_t>(2 * count), 6);
    std::vector<std::vector<uint32_t>> first;
    for_each_instruction_set_and_thread_count([&](const char* name) {
      std::vector<T> layer(x.size() / 2), rms(layer), turned(x), gated(x), sum(x);
      layer_norm(x.data(), count, row.weight.data(), row.bias.data(), kEpsilon, layer.data());
      rms_norm(x.data(), count, row.weight.data(), kEpsilon, rms.data());
      rotate(turned.data(), count, y.data(), y.data() + count);
      silu_times(gated.data(), y.data(), 2 * count);
      add(sum.data(), y.data(), 2 * count);
      std::vector<std::vector<uint32_t>> bits;
      for (const auto* each : {&layer, &rms, &turned, &gated, &sum}) {
        std::vector<uint32_t> of_row;
        // IEEE 754 does not specify the sign and payload of a NaN.
        for (const T value : *each) {
          of_row.push_back(std::isnan(to_float(value)) ? ~0u : bits_of_one(value));
        }
        bits.push_back(of_row);
      }
      if (first.empty()) first = bits;
      EXPECT_EQ(bits, first) << name << " " << count;
    });
  }
}

}  // namespace
}  // namespace twofour::kernels
