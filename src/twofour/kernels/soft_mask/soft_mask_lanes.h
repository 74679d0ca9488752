// From logits to masks and back, for F = float, Floats8 or Floats16: lanes are groups.
#pragma once

#include <cstdint>

#include "twofour/kernels/rows/exponential.h"
#include "twofour/kernels/simd/columns.h"
#include "twofour/kernels/soft_mask/gumbel_lanes.h"
#include "twofour/kernels/soft_mask/soft_mask.h"

namespace twofour::kernels {

/// A mask is written as floats for whole vectors of groups, so arrays have room for a multiple of
/// this number of groups.
constexpr int64_t kGroupsOfVector = 16;

/// What the loops need of Candidates and SoftMaskOptions.
struct SoftMaskStep {
  int64_t kept, group, count;
  const uint8_t* positions;  ///< [count, kept]
  float kappa, inverse_tau;
  Choice choice;
  Noise noise;
  const RandomStream* stream;
};

/// A chunk of groups.
struct SoftMaskChunk {
  int64_t groups;
  uint32_t first;       ///< the number of the first group, modulo 2^32
  const float* gumbel;  ///< of the chunk [groups, C], or null
  int64_t stride;       ///< between the candidates of y; a multiple of kGroupsOfVector
  float* y;             ///< [C, stride]
  float* soft;          ///< [groups, M], with room as above
};

namespace {

// The two patterns of nearly all models have loops of their own, which the compiler unrolls.
template <int kKept, int kGroup>
struct FixedPattern;

template <>
struct FixedPattern<2, 4> {
  static constexpr int64_t kMost = 6, kMostEntries = 4, count = 6, kept = 2, group = 4;
  static constexpr uint8_t kPositions[6][2] = {{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}};
  static constexpr const uint8_t* positions(int64_t k) { return kPositions[k]; }
};

template <>
struct FixedPattern<1, 4> {
  static constexpr int64_t kMost = 4, kMostEntries = 4, count = 4, kept = 1, group = 4;
  static constexpr uint8_t kPositions[4][1] = {{0}, {1}, {2}, {3}};
  static constexpr const uint8_t* positions(int64_t k) { return kPositions[k]; }
};

struct AnyPattern {
  static constexpr int64_t kMost = kMostCandidates, kMostEntries = kMostCandidates;
  explicit AnyPattern(const SoftMaskStep& step)
      : count(step.count), kept(step.kept), group(step.group), all(step.positions) {}
  const uint8_t* positions(int64_t k) const { return all + k * kept; }

  int64_t count, kept, group;
  const uint8_t* all;
};

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Calls fn(pattern).
template <class Fn>
void with_pattern(const SoftMaskStep& step, Fn&& fn) {
  if (step.kept == 2 && step.group == 4) return fn(FixedPattern<2, 4>());
  if (step.kept == 1 && step.group == 4) return fn(FixedPattern<1, 4>());
  fn(AnyPattern(step));
}

// v[k] = column k of in [lanes of F, columns]; rows from `rows` on count as zero and are not read.
template <class F, class T, size_t kColumns>
void load_columns(const T* in, int64_t rows, int64_t columns, F (&v)[kColumns]) {
  constexpr int64_t kWidth = kLanesOf<F>;
  if constexpr (kColumns <= 6) {  // of a fixed pattern: columns == kColumns
    T padded[kWidth * kColumns];
    if (rows < kWidth) {
      for (int64_t i = 0; i < kWidth * columns; ++i) padded[i] = i < rows * columns ? in[i] : T{};
      in = padded;
    }
    for (size_t k = 0; k < kColumns; ++k) v[k] = load_lanes<F>(in + k * kWidth);
    split_columns(v);
  } else {
    for (int64_t k = 0; k < columns; ++k) {
      float lanes[kWidth] = {};
      for (int64_t r = 0; r < rows; ++r) lanes[r] = to_float(in[r * columns + k]);
      v[k] = load_lanes<F>(lanes);
    }
  }
}

// out [lanes of F, columns] of v's columns.
template <class F, size_t kColumns>
void store_columns(F (&v)[kColumns], int64_t columns, float* out) {
  constexpr int64_t kWidth = kLanesOf<F>;
  if constexpr (kColumns <= 6) {
    join_columns(v);
    for (size_t k = 0; k < kColumns; ++k) store_lanes(v[k], out + k * kWidth);
  } else {
    for (int64_t k = 0; k < columns; ++k) {
      float lanes[kWidth];
      store_lanes(v[k], lanes);
      for (int64_t r = 0; r < kWidth; ++r) out[r * columns + k] = lanes[r];
    }
  }
}

template <class F, class P>
void add_drawn(BlocksOfGroups<F>& blocks, P pattern, F (&z)[P::kMost]) {
  for (int64_t begin = 0; begin < pattern.count; begin += kGumbelsOfBlock) {
    F g[smaller(P::kMost, kGumbelsOfBlock)];
    blocks.take(g);
    for (int64_t k = begin; k < begin + kGumbelsOfBlock && k < pattern.count; ++k) {
      z[k] += g[k - begin];
    }
  }
}

// z becomes y, the softmax of z · factor. Returns 0, or NaN if a z is not finite.
template <class F, class P>
F softmax(P pattern, float factor, F (&z)[P::kMost]) {
  F top = z[0], sum = {};
  for (int64_t k = 1; k < pattern.count; ++k) top = z[k] > top ? z[k] : top;
  for (int64_t k = 0; k < pattern.count; ++k) {
    z[k] = exponential((z[k] - top) * factor);
    sum += z[k];
  }
  const F scale = 1.0f / sum;
  for (int64_t k = 0; k < pattern.count; ++k) z[k] = z[k] * scale;
  return sum - sum;
}

// chosen[k] = 1 for the largest z, of equals the first; else 0.
template <class F, class P>
void choose_largest(P pattern, const F (&z)[P::kMost], F (&chosen)[P::kMost]) {
  F top = z[0];
  WordsOf<F> winner = {};
  for (int64_t k = 1; k < pattern.count; ++k) {
    winner = z[k] > top ? WordsOf<F>{} + static_cast<uint32_t>(k) : winner;
    top = z[k] > top ? z[k] : top;
  }
  const F one = F{} + 1.0f, zero = {};
  for (int64_t k = 0; k < pattern.count; ++k) {
    chosen[k] = winner == static_cast<uint32_t>(k) ? one : zero;
  }
}

// soft = the sum of the candidates, each times its share.
template <class F, class P>
void sum_candidates(P pattern, const F (&share)[P::kMost], F (&soft)[P::kMostEntries]) {
  for (int64_t i = 0; i < pattern.group; ++i) soft[i] = F{};
  for (int64_t k = 0; k < pattern.count; ++k) {
    for (int64_t i = 0; i < pattern.kept; ++i) soft[pattern.positions(k)[i]] += share[k];
  }
}

template <class F, class P, class T>
void soft_of_pattern(const SoftMaskStep& step, P pattern, const T* logits,
                     const SoftMaskChunk& chunk) {
  constexpr int64_t kWidth = kLanesOf<F>;
  BlocksOfGroups<F> blocks(*step.stream, chunk.first, pattern.count);
  for (int64_t g = 0; g < chunk.groups; g += kWidth) {
    const int64_t width = smaller(kWidth, chunk.groups - g), at = g * pattern.count;
    F z[P::kMost], share[P::kMost], soft[P::kMostEntries];
    load_columns(logits + at, width, pattern.count, z);
    for (int64_t k = 0; k < pattern.count; ++k) z[k] = z[k] * step.kappa;
    if (step.noise == Noise::kDrawn) {
      add_drawn(blocks, pattern, z);
    } else if (step.noise == Noise::kGiven) {
      load_columns(chunk.gumbel + at, width, pattern.count, share);
      for (int64_t k = 0; k < pattern.count; ++k) z[k] += share[k];
    }
    if (step.choice == Choice::kHard) {
      choose_largest(pattern, z, share);
      const F bad = softmax(pattern, step.inverse_tau, z);
      sum_candidates(pattern, share, soft);
      for (int64_t i = 0; i < pattern.group; ++i) soft[i] += bad;
    } else {
      softmax(pattern, step.inverse_tau, z);
      sum_candidates(pattern, z, soft);
    }
    for (int64_t k = 0; k < pattern.count; ++k) {
      store_lanes(z[k], chunk.y + k * chunk.stride + g);
    }
    store_columns(soft, pattern.group, chunk.soft + g * pattern.group);
  }
}

template <class F, class T>
void soft_of_chunk(const SoftMaskStep& step, const T* logits, const SoftMaskChunk& chunk) {
  with_pattern(step, [&](auto pattern) { soft_of_pattern<F>(step, pattern, logits, chunk); });
}

// dlogits [rows, columns] += v's columns, of which the first `rows` lanes count.
template <class F, size_t kColumns>
void add_columns(F (&v)[kColumns], int64_t rows, int64_t columns, float* dlogits) {
  constexpr int64_t kWidth = kLanesOf<F>;
  if constexpr (kColumns <= 6) {
    if (rows == kWidth) {
      join_columns(v);
      for (size_t k = 0; k < kColumns; ++k) {
        float* const sums = dlogits + k * kWidth;
        store_lanes(load_lanes<F>(sums) + v[k], sums);
      }
      return;
    }
  }
  float addend[kWidth * kColumns];
  store_columns(v, columns, addend);
  for (int64_t i = 0; i < rows * columns; ++i) dlogits[i] += addend[i];
}

template <class F, class P>
void add_gradient_of_pattern(P pattern, const SoftMaskChunk& chunk, float factor, float* dlogits) {
  constexpr int64_t kWidth = kLanesOf<F>;
  for (int64_t g = 0; g < chunk.groups; g += kWidth) {
    const int64_t width = smaller(kWidth, chunk.groups - g);
    F dsoft[P::kMostEntries], y[P::kMost], dy[P::kMost], mean = {};
    load_columns(chunk.soft + g * pattern.group, kWidth, pattern.group, dsoft);
    for (int64_t k = 0; k < pattern.count; ++k) {
      y[k] = load_lanes<F>(chunk.y + k * chunk.stride + g);
      dy[k] = dsoft[pattern.positions(k)[0]];
      for (int64_t i = 1; i < pattern.kept; ++i) dy[k] += dsoft[pattern.positions(k)[i]];
      mean += y[k] * dy[k];
    }
    for (int64_t k = 0; k < pattern.count; ++k) y[k] = factor * y[k] * (dy[k] - mean);
    add_columns(y, width, pattern.count, dlogits + g * pattern.count);
  }
}

template <class F>
void add_gradient_of_chunk(const SoftMaskStep& step, const SoftMaskChunk& chunk, float factor,
                           float* dlogits) {
  with_pattern(step,
               [&](auto pattern) { add_gradient_of_pattern<F>(pattern, chunk, factor, dlogits); });
}

}  // namespace
}  // namespace twofour::kernels
