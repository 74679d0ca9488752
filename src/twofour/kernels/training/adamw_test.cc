#include "twofour/kernels/training/adamw.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

constexpr size_t kCounts[] = {0, 1, 7, 15, 16, 17, 100, 16384, 16385, 70001};

FrozenAdamW some_options() {
  FrozenAdamW options;
  options.learning_rate = 3e-3;
  options.beta1 = 0.9;
  options.epsilon = 1e-6;
  options.weight_decay = 0.1;
  options.gradient_divisor = 1.7;
  options.bias_correction1 = 1.0 - std::pow(0.9, 12);
  options.bias_correction2 = 1.0 - std::pow(0.95, 7);
  return options;
}

std::vector<float> squares_of(std::vector<float> values) {
  for (float& value : values) value *= value;
  return values;
}

TEST(FrozenAdamW, equals_ten_steps_in_double) {
  constexpr size_t kCount = 1003;
  const FrozenAdamW options = some_options();
  auto w = normal_floats(kCount, 61);
  auto exp_avg = normal_floats(kCount, 62);
  const auto second_moment = squares_of(normal_floats(kCount, 63));
  std::vector<double> w64(w.begin(), w.end()), exp_avg64(exp_avg.begin(), exp_avg.end());
  for (uint32_t step = 0; step < 10; ++step) {
    const auto gradient = normal_floats(kCount, 64 + step);
    frozen_adamw(w.data(), gradient.data(), exp_avg.data(), second_moment.data(), kCount, options);
    for (size_t i = 0; i < kCount; ++i) {
      const double g = gradient[i] / options.gradient_divisor;
      exp_avg64[i] = options.beta1 * exp_avg64[i] + (1.0 - options.beta1) * g;
      const double size = std::sqrt(second_moment[i] / options.bias_correction2) + options.epsilon;
      const double change = options.learning_rate / options.bias_correction1 * exp_avg64[i] / size;
      w64[i] = w64[i] * (1.0 - options.learning_rate * options.weight_decay) - change;
      // Ten roundings of w and a few of each change, relative to its operands.
      const double large = std::fabs(w64[i]) + 1.0 + 0.1 / size;
      ASSERT_NEAR(w[i], w64[i], 1e-6 * large) << i << " " << step;
      ASSERT_NEAR(exp_avg[i], exp_avg64[i], 1e-6) << i << " " << step;
    }
  }
}

TEST(FrozenAdamW, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  for (const size_t count : kCounts) {
    const auto gradient = hostile_values<float>(count + 1, 71);
    const auto second_moment = squares_of(hostile_values<float>(count + 1, 72));
    std::vector<uint32_t> reference;
    for_each_instruction_set_and_thread_count([&](const char* name) {
      auto w = normal_floats(count + 1, 73), exp_avg = normal_floats(count + 1, 74);
      frozen_adamw(w.data() + 1, gradient.data() + 1, exp_avg.data() + 1, second_moment.data() + 1,
                   static_cast<int64_t>(count), some_options());
      for (float& value : w) value = std::isnan(value) ? 0.0f : value;  // NaN signs may differ
      for (float& value : exp_avg) value = std::isnan(value) ? 0.0f : value;
      auto bits = bits_of_all(w);
      for (const uint32_t one : bits_of_all(exp_avg)) bits.push_back(one);
      if (reference.empty()) reference = bits;
      ASSERT_EQ(bits, reference) << name << " " << count;
    });
  }
}

TEST(SecondMomentChange, equals_the_definition_in_long_double) {
  const float divisor = 1.7f, beta2 = 0.999f;
  for (const size_t count : kCounts) {
    auto gradient = normal_floats(count, 81);
    auto v = squares_of(normal_floats(count, 82));
    // From the smallest denormal to the largest number; some changes are 0.
    for (size_t i = 0; i < count; ++i) {
      gradient[i] = std::ldexp(gradient[i], static_cast<int>(i * 37 % 270) - 145);
      v[i] = std::ldexp(v[i], static_cast<int>(i * 53 % 265) - 145);
      if (i % 5 == 0) v[i] = 0.0f;
      if (i % 15 == 0) gradient[i] = i % 2 ? -0.0f : 0.0f;
    }
    long double sum = 0.0L, logarithms = 0.0L, sizes = 0.0L;
    int64_t nonzero = 0;
    for (size_t i = 0; i < count; ++i) {
      const long double g = gradient[i] / divisor,
                        change = std::fabs((1.0L - beta2) * (g * g - v[i]));
      sum += change;
      if (change != 0.0L) logarithms += std::log(change);
      if (change != 0.0L) sizes += 1.0L + std::fabs(std::log(change));
      nonzero += change != 0.0L;
    }
    for_each_instruction_set_and_thread_count([&](const char* name) {
      const MomentChange found = second_moment_change(gradient.data(), v.data(),
                                                      static_cast<int64_t>(count), divisor, beta2);
      ASSERT_EQ(found.nonzero, nonzero) << name << " " << count;
      ASSERT_NEAR(found.sum, sum, 1e-13 * static_cast<double>(sum)) << name << " " << count;
      ASSERT_NEAR(found.sum_of_logarithms, logarithms, 1e-15 * static_cast<double>(sizes))
          << name << " " << count;
    });
  }
}

// The product of fractions that are all near 0.75 or all near 1.5 must stay in range.
TEST(SecondMomentChange, has_room_for_equal_changes) {
  constexpr size_t kCount = 40000;
  const std::vector<float> gradient(kCount, 0.0f);
  for (const float change : {0.75f, std::nextafter(1.5f, 0.0f), 1.5f, 1.0f, 0x1p-149f, 3e38f}) {
    const std::vector<float> v(kCount, change);
    for_each_instruction_set_and_thread_count([&](const char* name) {
      const MomentChange found =
          second_moment_change(gradient.data(), v.data(), kCount, 1.0f, 0.0f);
      ASSERT_NEAR(found.sum_of_logarithms / kCount, std::log(static_cast<double>(change)),
                  1e-15 * (1.0 + std::fabs(std::log(static_cast<double>(change)))))
          << name << " " << change;
    });
  }
}

TEST(SecondMomentChange, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  for (const size_t count : kCounts) {
    const auto gradient = normal_floats(count + 1, 83),
               v = squares_of(normal_floats(count + 1, 84));
    MomentChange reference;
    bool first = true;
    for_each_instruction_set_and_thread_count([&](const char* name) {
      const MomentChange found = second_moment_change(gradient.data() + 1, v.data() + 1,
                                                      static_cast<int64_t>(count), 3.0f, 0.95f);
      if (first) reference = found;
      first = false;
      ASSERT_EQ(found.sum, reference.sum) << name << " " << count;
      ASSERT_EQ(found.sum_of_logarithms, reference.sum_of_logarithms) << name << " " << count;
      ASSERT_EQ(found.nonzero, reference.nonzero) << name << " " << count;
    });
  }
}

TEST(SecondMomentChange, is_not_finite_where_a_change_is_not) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const size_t where : {0u, 40u, 99u, 20000u}) {
    for (const float bad : {kInfinity, -kInfinity, std::nanf("")}) {
      auto gradient = normal_floats(20001, 85);
      const auto v = squares_of(normal_floats(20001, 86));
      gradient[where] = bad;
      for_each_instruction_set_and_thread_count([&](const char* name) {
        const MomentChange found =
            second_moment_change(gradient.data(), v.data(), 20001, 1.0f, 0.9f);
        ASSERT_FALSE(std::isfinite(found.sum)) << name;
        ASSERT_FALSE(std::isfinite(found.sum_of_logarithms)) << name;
      });
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
