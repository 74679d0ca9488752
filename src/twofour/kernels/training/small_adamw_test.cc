#include "twofour/kernels/training/small_adamw.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

AdamWStep some_step() {
  AdamWStep step;
  step.learning_rate = 3e-3;
  step.beta1 = 0.9;
  step.beta2 = 0.95;
  step.epsilon = 1e-6;
  step.weight_decay = 0.1;
  step.gradient_divisor = 1.7;
  step.bias_correction1 = 1.0 - std::pow(0.9, 3);
  step.bias_correction2 = 1.0 - std::pow(0.95, 3);
  return step;
}

template <class T>
std::vector<T> rounded_to(const std::vector<float>& values) {
  std::vector<T> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) store(values[i], out[i]);
  return out;
}

std::vector<float> floats_of(const std::vector<bfloat16>& values) {
  std::vector<float> out;
  for (const bfloat16 value : values) out.push_back(to_float(value));
  return out;
}

uint32_t bits_in(Moment8 value) { return value.code; }
template <class T>
uint32_t bits_in(T value) {
  return bits_of_one(value);
}

// A parameter with its moments, zero at first.
template <class W, class M>
struct Parameter {
  std::vector<W> w;
  std::vector<M> m, v;
  std::vector<float> m_scale, v_scale;

  explicit Parameter(const std::vector<float>& values)
      : w(rounded_to<W>(values)),
        m(values.size()),
        v(values.size()),
        m_scale(values.size() / kMomentBlock + 1),
        v_scale(m_scale) {}

  void step(const std::vector<float>& gradient, const AdamWStep& step, const RandomStream& stream) {
    const AdamWMoments<M> moments = {m.data(), v.data(), m_scale.data(), v_scale.data()};
    small_adamw(w.data(), gradient.data(), moments, static_cast<int64_t>(w.size()), step, stream);
  }
  std::vector<float> first() const {
    if constexpr (std::is_same_v<M, float>) {
      return m;
    } else if constexpr (std::is_same_v<M, Moment8>) {
      std::vector<float> out(m.size());
      first_moment_of(m.data(), m_scale.data(), static_cast<int64_t>(m.size()), out.data());
      return out;
    } else {
      return floats_of(m);
    }
  }
  std::vector<float> second() const {
    if constexpr (std::is_same_v<M, float>) {
      return v;
    } else if constexpr (std::is_same_v<M, Moment8>) {
      std::vector<float> out(v.size());
      second_moment_of(v.data(), v_scale.data(), static_cast<int64_t>(v.size()), out.data());
      return out;
    } else {
      return floats_of(v);
    }
  }
};

TEST(SmallAdamW, in_float32_equals_ten_steps_in_double) {
  constexpr size_t kCount = 1003;
  AdamWStep step = some_step();
  Parameter<float, float> parameter(normal_floats(kCount, 61));
  std::vector<double> w(parameter.w.begin(), parameter.w.end()), m(kCount), v(kCount);
  for (int t = 1; t <= 10; ++t) {
    const auto gradient = normal_floats(kCount, 62 + static_cast<uint32_t>(t));
    step.bias_correction1 = 1.0 - std::pow(step.beta1, t);
    step.bias_correction2 = 1.0 - std::pow(step.beta2, t);
    parameter.step(gradient, step, {});
    for (size_t i = 0; i < kCount; ++i) {
      const double g = gradient[i] / step.gradient_divisor;
      m[i] = step.beta1 * m[i] + (1.0 - step.beta1) * g;
      v[i] = step.beta2 * v[i] + (1.0 - step.beta2) * g * g;
      const double size = std::sqrt(v[i] / step.bias_correction2) + step.epsilon;
      w[i] *= 1.0 - step.learning_rate * step.weight_decay;
      w[i] -= step.learning_rate / step.bias_correction1 * m[i] / size;
      // Ten roundings of w, and of each change a few. The first moment may nearly cancel.
      ASSERT_NEAR(parameter.w[i], w[i], 1e-6 * (1.0 + std::fabs(w[i]))) << i << " " << t;
      ASSERT_NEAR(parameter.m[i], m[i], 1e-6) << i << " " << t;
      ASSERT_NEAR(parameter.v[i], v[i], 1e-6 * v[i]) << i << " " << t;
    }
  }
}

template <class W, class M>
void expect_same_bits(const char* types) {
  const int threads_before = thread_count();
  for (const size_t count : {0u, 1u, 7u, 16u, 127u, 129u, 255u, 256u, 257u, 1000u, 50021u}) {
    std::vector<uint32_t> reference;
    for_each_instruction_set_and_thread_count([&](const char* name) {
      for (const int threads : {thread_count(), 3}) {
        set_thread_count(threads);
        Parameter<W, M> parameter(normal_floats(count, 71));
        for (uint32_t t = 0; t < 3; ++t) {
          auto gradient = normal_floats(count, 72 + t);
          // Blocks of zeros, of tiny and of huge numbers, and rows of zeros.
          for (size_t i = 0; i < count; ++i) {
            const size_t block = i / kMomentBlock;
            const float factor[] = {1.0f, 0.0f, 1e-18f, 1e15f};
            gradient[i] *= i % 11 == 5 ? 0.0f : factor[block % 4];
          }
          parameter.step(gradient, some_step(), {9, t, 0, 5});
        }
        std::vector<uint32_t> bits;
        for (const W value : parameter.w) bits.push_back(bits_in(value));
        for (const auto* values : {&parameter.m, &parameter.v}) {
          for (const M value : *values) bits.push_back(bits_in(value));
        }
        for (const auto* values : {&parameter.m_scale, &parameter.v_scale}) {
          for (const float value : *values) bits.push_back(bits_of(value));
        }
        if (reference.empty()) reference = bits;
        ASSERT_EQ(bits, reference) << types << " " << name << " " << count << " " << threads;
      }
    });
  }
  set_thread_count(threads_before);
}

TEST(SmallAdamW, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  expect_same_bits<float, float>("float32, float32");
  expect_same_bits<float, bfloat16>("float32, bfloat16");
  expect_same_bits<float, Moment8>("float32, 8 bits");
  expect_same_bits<bfloat16, float>("bfloat16, float32");
  expect_same_bits<bfloat16, bfloat16>("bfloat16, bfloat16");
  expect_same_bits<bfloat16, Moment8>("bfloat16, 8 bits");
}

// The distance of the two bfloat16 around x.
double gap_of_bfloat16(double x) { return x == 0 ? 0 : std::ldexp(1.0, std::ilogb(x) - 7); }

// Collects roundings of known numbers and compares their means.
struct Roundings {
  std::vector<double> exact, gap, sum;

  Roundings(const std::vector<float>& values, const std::vector<double>& gaps)
      : exact(values.begin(), values.end()), gap(gaps), sum(values.size()) {}

  // A rounding is a neighbour: it differs by less than the gap.
  void add(const std::vector<float>& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_LE(std::fabs(values[i] - exact[i]), gap[i] * (1 + 1e-5)) << i << ": " << exact[i];
      sum[i] += values[i] - exact[i];
    }
  }
  // The deviation of a mean of n roundings is at most gap / (2 sqrt(n)). By Hoeffding's bound, the
  // mean is off by more than t gap / sqrt(n) with a probability of at most 2 exp(-2 t²): for t = 4,
  // 2.6e-14 for each number.
  void expect_unbiased(int64_t n, const char* what) const {
    double all = 0, gaps = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      const double mean = sum[i] / static_cast<double>(n);
      const double most = 4 * gap[i] / std::sqrt(static_cast<double>(n)) + 1e-4 * gap[i];
      ASSERT_LE(std::fabs(mean), most) << what << " " << i << ": " << exact[i];
      all += gap[i] == 0 ? 0 : sum[i] / gap[i];
      gaps += gap[i] == 0 ? 0 : static_cast<double>(n);
    }
    // The same bound for the mean over all numbers.
    ASSERT_LE(std::fabs(all / gaps), 4 / std::sqrt(gaps) + 1e-4) << what;
  }
};

std::vector<double> gaps_of_bfloat16(const std::vector<float>& values) {
  std::vector<double> gaps;
  for (const float value : values) gaps.push_back(gap_of_bfloat16(value));
  return gaps;
}

constexpr uint32_t kRepeats = 3000;

TEST(SmallAdamW, rounds_to_bfloat16_without_bias) {
  const auto start = floats_of(rounded_to<bfloat16>(normal_floats(300, 81)));
  const auto gradient = normal_floats(300, 82);
  Parameter<float, float> exact(start);
  exact.step(gradient, some_step(), {});
  Roundings w(exact.w, gaps_of_bfloat16(exact.w)), m(exact.m, gaps_of_bfloat16(exact.m)),
      v(exact.v, gaps_of_bfloat16(exact.v));
  for (uint32_t t = 0; t < kRepeats; ++t) {
    Parameter<bfloat16, bfloat16> parameter(start);
    parameter.step(gradient, some_step(), {3, t, 0, 1});
    w.add(floats_of(parameter.w));
    m.add(parameter.first());
    v.add(parameter.second());
  }
  w.expect_unbiased(kRepeats, "w");
  m.expect_unbiased(kRepeats, "m");
  v.expect_unbiased(kRepeats, "v");
}

// The distance of neighbouring codes at `units`, with `mantissa` bits.
double gap_of_code(double units, int mantissa) {
  return std::ldexp(1.0, std::max(std::ilogb(units) - mantissa, 0));
}

TEST(SmallAdamW, rounds_to_8_bits_without_bias) {
  constexpr size_t kCount = 700;
  auto gradient = normal_floats(kCount, 83);
  // Five powers of ten, with zeros between.
  for (size_t i = 0; i < kCount; ++i) {
    gradient[i] *= std::pow(10.0f, -static_cast<float>(i % 6));
    if (i % 13 == 0) gradient[i] = 0.0f;
  }
  Parameter<float, float> exact(normal_floats(kCount, 84));
  exact.step(gradient, some_step(), {});
  std::vector<double> m_gaps, v_gaps;
  std::vector<float> v_values;
  for (size_t i = 0; i < kCount; ++i) {
    const size_t first = i / kMomentBlock * kMomentBlock;
    double m_largest = 0, v_largest = 0;
    for (size_t j = first; j < std::min(first + kMomentBlock, kCount); ++j) {
      m_largest = std::max(m_largest, std::fabs(double{exact.m[j]}));
      v_largest = std::max(v_largest, std::sqrt(double{exact.v[j]}));
    }
    const double m_unit = m_largest / (15 << 14), v_unit = v_largest / (31 << 14);
    const double m_units = std::fabs(exact.m[i]) / m_unit;
    const double root = std::sqrt(double{exact.v[i]}) / v_unit;
    m_gaps.push_back(m_units == 0 ? 0 : m_unit * gap_of_code(m_units, 3));
    const double root_gap = gap_of_code(root + 1e-9, 4),
                 low = std::floor(root / root_gap) * root_gap;
    v_gaps.push_back(root == 0 ? 0 : v_unit * v_unit * root_gap * (2 * low + root_gap));
    // The smallest code is the mean of everything between it and 0.
    v_values.push_back(root > 0 && root < 1 ? static_cast<float>(v_unit * v_unit) : exact.v[i]);
  }
  Roundings m(exact.m, m_gaps), v(v_values, v_gaps);
  for (uint32_t t = 0; t < kRepeats; ++t) {
    Parameter<float, Moment8> parameter(normal_floats(kCount, 84));
    parameter.step(gradient, some_step(), {4, t, 0, 1});
    m.add(parameter.first());
    v.add(parameter.second());
  }
  m.expect_unbiased(kRepeats, "m");
  v.expect_unbiased(kRepeats, "v");
}

TEST(SmallAdamW, has_no_second_moment_of_0_but_for_gradients_of_0) {
  for (const float tiny : {1e-3f, 1e-6f, 1e-9f, 1e-15f}) {
    std::vector<float> gradient(600, 1.0f);
    for (size_t i = 0; i < gradient.size(); i += 3) gradient[i] = tiny;
    for (size_t i = 1; i < gradient.size(); i += 3) gradient[i] = 0.0f;
    Parameter<bfloat16, Moment8> parameter(normal_floats(600, 91));
    parameter.step(gradient, some_step(), {5, 1, 0, 1});
    const auto second = parameter.second();
    for (size_t i = 0; i < gradient.size(); ++i) {
      ASSERT_EQ(second[i] > 0.0f, gradient[i] != 0.0f) << i << " " << tiny;
    }
  }
}

TEST(SmallAdamW, codes_ascend_and_their_steps_are_an_8th_or_16th_at_most) {
  std::vector<Moment8> codes(256);
  for (size_t i = 0; i < 256; ++i) codes[i].code = static_cast<uint8_t>(i);
  const float scale = 1.0f;
  std::vector<float> m(256), v(256);
  first_moment_of(codes.data(), &scale, 256, m.data());
  second_moment_of(codes.data(), &scale, 256, v.data());
  for (size_t i = 0; i < 256; ++i) {
    const auto whole = static_cast<float>(i);
    const float before = i > 0 ? m[(i - 1) % 128] : -1.0f;
    if (i < 128) {
      EXPECT_EQ(m[i + 128], -m[i]);
      EXPECT_TRUE(m[i] > before && (i <= 8 || m[i] <= 1.125f * before)) << i;
      EXPECT_TRUE(i >= 16 || m[i] == whole) << i;
    }
    const float root = std::sqrt(v[i]), root_before = i > 0 ? std::sqrt(v[i - 1]) : -1.0f;
    EXPECT_TRUE(root > root_before && (i <= 16 || root <= 1.0626f * root_before)) << i;
    EXPECT_TRUE(i >= 32 || v[i] == whole * whole) << i;
  }
  EXPECT_EQ(m[127], 15.0f * 16384.0f);
  EXPECT_EQ(v[255], 31.0f * 16384.0f * 31.0f * 16384.0f);
}

TEST(SmallAdamW, draws_other_numbers_for_another_step_or_parameter) {
  const auto gradient = normal_floats(256, 95);
  std::vector<std::vector<uint32_t>> all;
  for (const RandomStream stream : {RandomStream{1, 1, 0, 1}, RandomStream{1, 2, 0, 1},
                                    RandomStream{1, 1, 0, 2}, RandomStream{2, 1, 0, 1}}) {
    Parameter<bfloat16, float> parameter(normal_floats(256, 96));
    parameter.step(gradient, some_step(), stream);
    for (const auto& other : all) EXPECT_NE(bits_of_all(parameter.w), other);
    all.push_back(bits_of_all(parameter.w));
  }
}

}  // namespace
}  // namespace twofour::kernels
