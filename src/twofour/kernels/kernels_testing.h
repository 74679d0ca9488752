// Helpers for kernel tests: hostile inputs, bits, and every instruction set of the machine.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

inline std::vector<float> normal_floats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

inline std::vector<float> uniform_floats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> flat;
  std::vector<float> values(count);
  for (float& value : values) value = flat(random);
  return values;
}

/// Normal numbers; one in ten is a tie, a zero, a denormal, huge, an infinity or NaN.
template <class T>
std::vector<T> hostile_values(size_t count, uint32_t seed) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float hostile[] = {0.0f,  -0.0f, 1.0f,      -1.0f,      1e-45f,        -1e-40f, 1e-6f,
                           1e30f, -6e4f, kInfinity, -kInfinity, std::nanf(""), 3e38f,   1e-38f};
  std::mt19937 random(seed + 1);
  const auto values = normal_floats(count, seed);
  std::vector<T> out(count);
  for (size_t i = 0; i < count; ++i) {
    store(random() % 10 ? values[i] : hostile[random() % std::size(hostile)], out[i]);
  }
  return out;
}

inline uint32_t bits_of_one(float value) { return bits_of(value); }
inline uint32_t bits_of_one(bfloat16 value) { return value.bits; }
inline uint32_t bits_of_one(float16 value) { return value.bits; }
inline uint32_t bits_of_one(uint8_t value) { return value; }

template <class T>
std::vector<uint32_t> bits_of_all(const std::vector<T>& values) {
  std::vector<uint32_t> bits;
  for (const T& value : values) bits.push_back(bits_of_one(value));
  return bits;
}

/// A test that may change the instruction set and number of threads; both are restored.
class KernelTest : public ::testing::Test {
 protected:
  void TearDown() override {
    set_instruction_set(set_);
    set_thread_count(threads_);
  }

 private:
  InstructionSet set_ = instruction_set();
  int threads_ = thread_count();
};

/// Calls fn(name of the set) under every instruction set of the machine, the reference first, with
/// one and two threads; then restores both.
template <class Fn>
void for_each_instruction_set_and_thread_count(Fn&& fn) {
  const InstructionSet set_before = instruction_set();
  const int threads_before = thread_count();
  for (const InstructionSet set : instruction_sets()) {
    for (const int threads : {1, 2}) {
      set_instruction_set(set);
      set_thread_count(threads);
      fn(name_of(set));
    }
  }
  set_instruction_set(set_before);
  set_thread_count(threads_before);
}

}  // namespace twofour::kernels
