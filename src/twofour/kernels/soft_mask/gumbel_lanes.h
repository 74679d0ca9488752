// Gumbel noise for F = float, Floats8 or Floats16: lanes are groups.
#pragma once

#include <cstdint>

#include "twofour/kernels/rows/exponential.h"
#include "twofour/kernels/simd/columns.h"
#include "twofour/kernels/simd/philox_lanes.h"

namespace twofour::kernels {

/// The numbers of one Philox block: 21 bits each.
constexpr int64_t kGumbelsOfBlock = 6;

namespace {

template <class F>
constexpr WordsOf<F> numbers_of_lanes() {
  WordsOf<F> numbers = {};
  if constexpr (sizeof(F) > sizeof(float)) {
    for (size_t lane = 0; lane < kLanesOf<F>; ++lane) numbers[lane] = lane;
  }
  return numbers;
}

// The first numbers of a block, -log(-log(u)): number k has the bits b from 21 k on, counted from
// the lowest of word 0, and u = (b + 0.5) · 2^-21, which is never 0 or 1.
template <class F, size_t kCount>
void gumbels_of_block(const WordsOf<F> (&word)[4], F (&g)[kCount]) {
  const auto &a = word[0], &b = word[1], &c = word[2], &d = word[3];
  const WordsOf<F> bits[kGumbelsOfBlock] = {a << 2,           a >> 19 | b << 13, b >> 8,
                                            b >> 29 | c << 3, c >> 18 | d << 14, d >> 7};
  for (size_t k = 0; k < kCount; ++k) {
    g[k] = float_from_bits((bits[k] & 0x7ffffcu) | 0x3f800002u) - 1.0f;
  }
  take_logarithms(g);
  for (size_t k = 0; k < kCount; ++k) g[k] = -g[k];
  take_logarithms(g);
  for (size_t k = 0; k < kCount; ++k) g[k] = -g[k];
}

// The blocks of consecutive vectors of groups, in order. The words of the next block are computed
// beside the numbers of the current one, since each step of Philox waits for the step before.
template <class F>
class BlocksOfGroups {
 public:
  BlocksOfGroups(const RandomStream& stream, uint32_t first_group, int64_t count)
      : rounds_(stream),
        blocks_(static_cast<uint32_t>((count + kGumbelsOfBlock - 1) / kGumbelsOfBlock)) {
    index_ = (numbers_of_lanes<F>() + first_group) * blocks_;
    philox_of_lanes<F>(rounds_, index_, next_);
  }

  template <size_t kCount>
  void take(F (&g)[kCount]) {
    const WordsOf<F> word[4] = {next_[0], next_[1], next_[2], next_[3]};
    const bool is_last = ++block_ == blocks_;
    index_ += is_last ? static_cast<uint32_t>(kLanesOf<F> - 1) * blocks_ + 1 : 1;
    if (is_last) block_ = 0;
    philox_of_lanes<F>(rounds_, index_, next_);
    gumbels_of_block(word, g);
  }

 private:
  const PhiloxRounds rounds_;
  const uint32_t blocks_;
  uint32_t block_ = 0;
  WordsOf<F> index_, next_[4];
};

}  // namespace
}  // namespace twofour::kernels
