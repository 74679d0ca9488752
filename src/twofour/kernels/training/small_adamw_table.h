// AdamW with stochastic rounding, for F = float, Floats8 or Floats16.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <type_traits>

#include "twofour/kernels/rows/table.h"
#include "twofour/kernels/simd/lanes_memory.h"
#include "twofour/kernels/simd/philox_lanes.h"
#include "twofour/kernels/training/adamw_table.h"
#include "twofour/kernels/training/moment_codes.h"
#include "twofour/kernels/training/small_adamw.h"

namespace twofour::kernels {

/// See small_adamw.h; for entries first to last - 1, with first a multiple of kMomentBlock.
template <class W, class M>
using SmallAdamWLoop = void (*)(W* w, const float* gradient, const AdamWMoments<M>& moments,
                                int64_t first, int64_t last, const AdamWStep& step,
                                const RandomStream& stream);
template <class W>
struct SmallAdamWTable {
  SmallAdamWLoop<W, float> float32;
  SmallAdamWLoop<W, bfloat16> bits16;
  SmallAdamWLoop<W, Moment8> bits8;
};

namespace {

// A block of 256 entries uses 128 Philox blocks: entry j words 0 and 1 of block j, entry 128 + j
// words 2 and 3.
//   word a, upper 16 bits           the parameter
//   word b, upper 16 or 20 bits     the first moment
//   word b, lower 16 or 12 bits     the second moment, with 8 lower bits of a
struct BlockWords {
  uint32_t a[kMomentBlock], b[kMomentBlock];
};

template <class F>
void draw_words(const PhiloxRounds& rounds, uint32_t first, BlockWords& words) {
  using Words = WordsOf<F>;
  constexpr uint32_t kHalf = kMomentBlock / 2, kWidth = sizeof(F) / sizeof(float);
  uint32_t lane_numbers[kWidth];
  std::iota(lane_numbers, lane_numbers + kWidth, first);
  Words index;
  std::memcpy(&index, lane_numbers, sizeof index);
  for (uint32_t j = 0; j < kHalf; j += kWidth) {
    Words word[4];
    philox_of_lanes<F>(rounds, index + j, word);
    std::memcpy(words.a + j, &word[0], sizeof(Words));
    std::memcpy(words.b + j, &word[1], sizeof(Words));
    std::memcpy(words.a + kHalf + j, &word[2], sizeof(Words));
    std::memcpy(words.b + kHalf + j, &word[3], sizeof(Words));
  }
}

template <class F>
WordsOf<F> load_words(const uint32_t* words) {
  WordsOf<F> lanes;
  std::memcpy(&lanes, words, sizeof lanes);
  return lanes;
}

// Rounds down or up by 16 random bits; a NaN stays a quiet NaN.
template <class F>
void store_random(F lanes, WordsOf<F> random16, float* out) {
  static_cast<void>(random16);
  store_lanes(lanes, out);
}
template <class F>
void store_random(F lanes, WordsOf<F> random16, bfloat16* out) {
  const WordsOf<F> bits = bits_of(lanes);
  const WordsOf<F> upper = (lanes == lanes ? bits + random16 : bits | 0x400000u) >> 16;
  if constexpr (sizeof(F) == sizeof(float)) {
    out->bits = static_cast<uint16_t>(upper);
  } else {
    store_halves(upper, out);
  }
}

struct AdamWFactors {
  explicit AdamWFactors(const AdamWStep& step)
      : beta1(rounded(step.beta1)),
        rest1(rounded(1.0 - step.beta1)),
        beta2(rounded(step.beta2)),
        rest2(rounded(1.0 - step.beta2)),
        decay(rounded(1.0 - step.learning_rate * step.weight_decay)),
        rate(rounded(step.learning_rate / step.bias_correction1)),
        epsilon(rounded(step.epsilon)),
        divisor(rounded(step.gradient_divisor)),
        correction(rounded(step.bias_correction2)) {}

  static float rounded(double value) { return static_cast<float>(value); }

  float beta1, rest1, beta2, rest2, decay, rate, epsilon, divisor, correction;
};

// The moments of one block after the update, before they become codes.
struct BlockMoments {
  float first[kMomentBlock], root[kMomentBlock];
};

template <class F, class M>
struct MomentLanes {
  static F first(const AdamWMoments<M>& moments, int64_t i) {
    return load_lanes<F>(moments.exp_avg + i);
  }
  static F second(const AdamWMoments<M>& moments, int64_t i) {
    return load_lanes<F>(moments.exp_avg_sq + i);
  }
};
template <class F>
struct MomentLanes<F, Moment8> {
  static F first(const AdamWMoments<Moment8>& moments, int64_t i) {
    const WordsOf<F> code = load_codes<F>(moments.exp_avg + i);
    const F size = FirstCodes::value<F>(code & 0x7fu) * moments.exp_avg_scale[i / kMomentBlock];
    return float_from_bits(bits_of(size) | (code & 0x80u) << 24);
  }
  static F second(const AdamWMoments<Moment8>& moments, int64_t i) {
    const WordsOf<F> code = load_codes<F>(moments.exp_avg_sq + i);
    const F root = SecondCodes::value<F>(code) * moments.exp_avg_sq_scale[i / kMomentBlock];
    return root * root;
  }
};

// As many entries as F has lanes, from entry i, which is entry j of its block.
template <class F, class W, class M>
void adamw_lanes(W* w, const float* gradient, const AdamWMoments<M>& moments, int64_t i, int64_t j,
                 const AdamWFactors& factors, const BlockWords& words, BlockMoments& block) {
  using Words = WordsOf<F>;
  const F g = load_lanes<F>(gradient + i) / factors.divisor;
  const F m = factors.beta1 * MomentLanes<F, M>::first(moments, i) + factors.rest1 * g;
  const F v = factors.beta2 * MomentLanes<F, M>::second(moments, i) + factors.rest2 * (g * g);
  const F size = square_root(F(v / factors.correction)) + factors.epsilon;
  const F changed = load_lanes<F>(w + i) * factors.decay - factors.rate * m / size;
  const Words a = load_words<F>(words.a + j), b = load_words<F>(words.b + j);
  store_random<F>(changed, a >> 16, w + i);
  if constexpr (std::is_same_v<M, Moment8>) {
    store_lanes(m, block.first + j);
    store_lanes(F(square_root(v)), block.root + j);
  } else {
    store_random<F>(m, b >> 16, moments.exp_avg + i);
    store_random<F>(v, b & 0xffffu, moments.exp_avg_sq + i);
  }
}

template <class F>
void code_lanes(const BlockMoments& block, const BlockWords& words, float first_scale,
                float root_scale, int64_t j, Moment8* first, Moment8* second) {
  using Words = WordsOf<F>;
  const Words a = load_words<F>(words.a + j), b = load_words<F>(words.b + j);
  store_codes<F>(first_code<F>(load_lanes<F>(block.first + j), first_scale, b >> 12), first + j);
  store_codes<F>(
      second_code<F>(load_lanes<F>(block.root + j), root_scale, (a & 0xffu) << 12 | (b & 0xfffu)),
      second + j);
}

// The largest magnitude, which does not depend on the order.
template <class F>
float largest_of(const float* values, int64_t count) {
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  const auto magnitude = [](auto lanes) { return float_from_bits(bits_of(lanes) & 0x7fffffffu); };
  float largest = 0.0f;
  int64_t i = 0;
  if constexpr (kWidth > 1) {
    F lanes = {};
    for (; i + kWidth <= count; i += kWidth) {
      const F here = magnitude(load_lanes<F>(values + i));
      lanes = here > lanes ? here : lanes;
    }
    for (int64_t k = 0; k < kWidth; ++k) largest = std::max(largest, lanes[k]);
  }
  for (; i < count; ++i) largest = std::max(largest, magnitude(values[i]));
  return largest;
}

// Calls lanes(type, j) for entries 0 to count - 1, as many at once as F has, then one by one.
template <class F, class Lanes>
void for_lanes(int64_t count, Lanes&& lanes) {
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  int64_t j = 0;
  for (; j + kWidth <= count; j += kWidth) lanes(F{}, j);
  for (; j < count; ++j) lanes(0.0f, j);
}

template <class F, class W, class M>
void small_adamw_entries(W* w, const float* gradient, const AdamWMoments<M>& moments, int64_t first,
                         int64_t last, const AdamWStep& step, const RandomStream& stream) {
  constexpr bool kIsRandom = !std::is_same_v<W, float> || !std::is_same_v<M, float>;
  const AdamWFactors factors(step);
  const PhiloxRounds rounds(stream);
  BlockWords words = {};
  BlockMoments block;
  for (int64_t begin = first; begin < last; begin += kMomentBlock) {
    const int64_t count = std::min(kMomentBlock, last - begin);
    if constexpr (kIsRandom) {
      draw_words<F>(rounds, static_cast<uint32_t>(begin / 2), words);
    }
    for_lanes<F>(count, [&](auto type, int64_t j) {
      prefetch_ahead(gradient + begin + j);
      prefetch_ahead(w + begin + j);
      adamw_lanes<decltype(type)>(w, gradient, moments, begin + j, j, factors, words, block);
    });
    if constexpr (std::is_same_v<M, Moment8>) {
      const float first_scale = FirstCodes::scale(largest_of<F>(block.first, count));
      const float root_scale = SecondCodes::scale(largest_of<F>(block.root, count));
      moments.exp_avg_scale[begin / kMomentBlock] = first_scale;
      moments.exp_avg_sq_scale[begin / kMomentBlock] = root_scale;
      for_lanes<F>(count, [&](auto type, int64_t j) {
        code_lanes<decltype(type)>(block, words, first_scale, root_scale, j,
                                   moments.exp_avg + begin, moments.exp_avg_sq + begin);
      });
    }
  }
}

template <class W, class F>
constexpr SmallAdamWTable<W> kTable<SmallAdamWTable<W>, F> = {
    .float32 = small_adamw_entries<F, W, float>,
    .bits16 = small_adamw_entries<F, W, bfloat16>,
    .bits8 = small_adamw_entries<F, W, Moment8>};

}  // namespace
}  // namespace twofour::kernels
