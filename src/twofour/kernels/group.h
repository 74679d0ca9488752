// The arithmetic of one group of consecutive entries, shared by every kernel on every device.
#pragma once

#include <cstdint>

#include "twofour/kernels/mvue/mvue.h"
#include "twofour/kernels/simd/lanes.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

TWOFOUR_HOST_DEVICE float minimum(float a, float b) { return b < a ? b : a; }
TWOFOUR_HOST_DEVICE float maximum(float a, float b) { return b > a ? b : a; }
TWOFOUR_HOST_DEVICE float magnitude(float a) { return float_from_bits(bits_of(a) & 0x7fffffffu); }

/// True if entry i of the group is one of the `kept` largest magnitudes. Of equal magnitudes the
/// later entry is larger; NaN is larger than infinity. Exactly `kept` entries of `size` are true.
TWOFOUR_HOST_DEVICE bool is_kept(const float* group, int size, int kept, int i) {
  const uint32_t own = bits_of(group[i]) & 0x7fffffffu;
  int larger = 0;
  for (int j = 0; j < size; ++j) {
    const uint32_t other = bits_of(group[j]) & 0x7fffffffu;
    larger += other > own || (other == own && j > i);
  }
  return larger < kept;
}

/// The second smallest magnitude of four: the threshold t of S-STE (arXiv 2409.09099, section 4.1).
/// NaN counts as larger than infinity.
TWOFOUR_HOST_DEVICE float threshold24(float a, float b, float c, float d) {
  const auto smaller = [](uint32_t x, uint32_t y) { return x < y ? x : y; };
  const auto larger = [](uint32_t x, uint32_t y) { return x < y ? y : x; };
  const auto size = [](float x) { return bits_of(x) & 0x7fffffffu; };
  const uint32_t low0 = smaller(size(a), size(b)), high0 = larger(size(a), size(b));
  const uint32_t low1 = smaller(size(c), size(d)), high1 = larger(size(c), size(d));
  return float_from_bits(smaller(larger(low0, low1), smaller(high0, high1)));
}

/// S(a) = sign(a) · max(|a| - t, 0) for an entry that the magnitude mask keeps (see is_kept), else
/// 0. A kept NaN stays NaN; a kept infinity is NaN if t is infinite too.
TWOFOUR_HOST_DEVICE float shrink(float a, float t, bool kept) {
  const float rest = magnitude(a) - t;
  const bool counts = kept && rest != 0.0f;
  return counts ? float_from_bits(bits_of(rest) | (bits_of(a) & 0x80000000u)) : 0.0f;
}

/// The difference between the numbers of a feature's group and of its next one along tokens: the
/// features, rounded up to a multiple of 4 because four groups share a Philox block.
TWOFOUR_HOST_DEVICE uint32_t mvue24_group_stride(int64_t features) {
  return static_cast<uint32_t>(features + 3) / 4 * 4;
}

/// The uniform number in [0, 1) of MVUE's group `group` of a stream, a word of block group / 4.
TWOFOUR_HOST_DEVICE float mvue24_uniform(const RandomStream& stream, uint32_t group) {
  return uniform_from_bits(stream(group / 4)[group % 4]);
}

// The arithmetic of MVUE for groups of finite numbers. F is float, or a vector of the same entry of
// several groups (see lanes.h).

/// The magnitudes of a group, scaled exactly by a power of two so that the largest is near 1.
/// Denormals do not vanish and large values do not overflow.
template <class F>
struct ScaledGroup {
  F b[4];
  F back;  ///< a power of two: b * back = |x|
};

template <class F>
TWOFOUR_HOST_DEVICE ScaledGroup<F> scaled_group(const F (&x)[4]) {
  using Words = WordsOf<F>;
  const auto larger = [](Words a, Words b) { return a < b ? b : a; };
  Words a[4];
  for (int i = 0; i < 4; ++i) a[i] = bits_of(x[i]) & 0x7fffffffu;
  const Words m = larger(larger(a[0], a[1]), larger(a[2], a[3])) & 0x7f800000u;
  const Words low = Words{} + 0x00800000u, high = Words{} + 0x7e800000u;
  const Words scale = 0x7f000000u - (m < low ? low : m > high ? high : m);
  ScaledGroup<F> group;
  for (int i = 0; i < 4; ++i) group.b[i] = float_from_bits(a[i]) * float_from_bits(scale);
  group.back = float_from_bits(0x7f000000u - scale);
  return group;
}

/// The first drawn entry and, in order, the three others. upto[k]: the first is one of the entries
/// 0..k.
template <class F>
struct FirstEntry {
  MaskOf<F> upto[3];
  F b, other[3], other01, others;  ///< other01 = other[0] + other[1]; others: the sum of three
};

template <class F>
TWOFOUR_HOST_DEVICE FirstEntry<F> take_first(const F (&b)[4], MaskOf<F> i0, MaskOf<F> i1,
                                             MaskOf<F> i2) {
  FirstEntry<F> first = {{i0, i1, i2},
                         i0 ? b[0] : (i1 ? b[1] : (i2 ? b[2] : b[3])),
                         {i0 ? b[1] : b[0], i1 ? b[2] : b[1], i2 ? b[3] : b[2]},
                         {},
                         {}};
  first.other01 = first.other[0] + first.other[1];
  first.others = first.other01 + first.other[2];
  return first;
}

/// Two drawn entries and their new magnitudes. second_upto[k]: the second is one of the first k + 1
/// of the three other entries.
template <class F>
struct DrawnPair {
  MaskOf<F> first_upto[3];
  MaskOf<F> second_upto[2];
  F first, second;
};

/// The approximate MVUE (arXiv 2203.10991): draws one entry by magnitude, then one of the other
/// three by magnitude, and divides each by its total probability of being drawn. `u` is uniform in
/// [0, 1); its place inside the interval of the first entry draws the second. The error of a
/// probability is at most some 2^-24, the resolution of u.
///
/// With S = sum b and d_j = S - b_j, computed as the sum of the other three (a difference would
/// cancel), p_i = b_i / S * (1 + sum over j != i of b_j / d_j). For a pair i, j and the others k, l
/// this gives b_i / p_i = d_j q / (q + d_j s) with q = S d_k d_l and s = b_k d_l + b_l d_k: one
/// division, and no d_i that may be 0.
template <class F>
TWOFOUR_HOST_DEVICE DrawnPair<F> draw_pair(const ScaledGroup<F>& group, F u) {
  const F(&b)[4] = group.b;
  const F c1 = b[0] + b[1], c2 = c1 + b[2], sum = c2 + b[3], at = u * sum, zero = {};
  const FirstEntry<F> i = take_first(b, at < b[0], at < c1, at < c2);
  const F before = i.upto[0] ? zero : (i.upto[1] ? b[0] : (i.upto[2] ? c1 : c2));
  const F then = (at - before) * i.others;
  const MaskOf<F> j0 = then < i.other[0] * i.b, j1 = then < i.other01 * i.b;
  const F bi = i.b, di = i.others;
  const F bj = j0 ? i.other[0] : (j1 ? i.other[1] : i.other[2]);
  const F bk = j0 ? i.other[1] : i.other[0], bl = j1 ? i.other[2] : i.other[1];
  const F ij = bi + bj, dj = bi + (bk + bl), dk = ij + bl, dl = ij + bk;
  const F q = sum * (dk * dl), s = bk * dl + bl * dk;
  const F first = dj * (q / (q + dj * s)) * group.back;
  const F second = di * (q / (q + di * s)) * group.back;
  return {{i.upto[0], i.upto[1], i.upto[2]},
          {j0, j1},
          zero < bi ? first : zero,
          zero < bj ? second : zero};
}

/// The MVUE with p_i = min(1, 2 b_i / S). If the largest is at least d, the sum of the others, it
/// stays unchanged and one of the others, drawn by magnitude, becomes d. Otherwise two entries
/// become S / 2: those whose intervals of the running sum hold u S / 2 and (u + 1) S / 2.
template <class F>
TWOFOUR_HOST_DEVICE DrawnPair<F> draw_exact_pair(const ScaledGroup<F>& group, F u) {
  const F(&b)[4] = group.b;
  const F c1 = b[0] + b[1], c2 = c1 + b[2], low = b[2] + b[3], half = (c1 + low) * 0.5f;
  const MaskOf<F> large0 = b[0] >= b[1] + low, large1 = large0 | (b[1] >= b[0] + low);
  const MaskOf<F> large2 = large1 | (b[2] >= c1 + b[3]), large = large2 | (b[3] >= c2);
  const F at = u * half, zero = {};
  const FirstEntry<F> i =
      take_first(b, large ? large0 : at < b[0], large ? large1 : at < c1, large ? large2 : at < c2);
  const F then = large ? u * i.others : at + half - i.b;
  const MaskOf<F> j0 = then < i.other[0], j1 = then < i.other01;
  const F bj = j0 ? i.other[0] : (j1 ? i.other[1] : i.other[2]);
  const F first = (large ? i.b : half) * group.back,
          second = (large ? i.others : half) * group.back;
  return {{i.upto[0], i.upto[1], i.upto[2]},
          {j0, j1},
          zero < i.b ? first : zero,
          zero < bj ? second : zero};
}

/// Writes a pair, with the signs of x, to its places; 0 elsewhere.
template <class F>
TWOFOUR_HOST_DEVICE void place_pair(const DrawnPair<F>& pair, const F (&x)[4], F (&out)[4]) {
  const F zero = {}, first = pair.first;
  const MaskOf<F>(&i)[3] = pair.first_upto;
  const MaskOf<F>(&j)[2] = pair.second_upto;
  const F other0 = j[0] ? pair.second : zero, other2 = j[1] ? zero : pair.second;
  const F other1 = j[0] ? zero : (j[1] ? pair.second : zero);
  out[0] = i[0] ? first : other0;
  out[1] = i[0] ? other0 : (i[1] ? first : other1);
  out[2] = i[1] ? other1 : (i[2] ? first : other2);
  out[3] = i[2] ? other2 : first;
  for (int k = 0; k < 4; ++k) {
    const auto sign = zero < out[k] ? bits_of(x[k]) & 0x80000000u : WordsOf<F>{};
    out[k] = float_from_bits(bits_of(out[k]) | sign);
  }
}

template <Mvue kKind, class F>
TWOFOUR_HOST_DEVICE void mvue24_finite_group(const F (&x)[4], F u, F (&out)[4]) {
  const ScaledGroup<F> group = scaled_group(x);
  place_pair(kKind == Mvue::kExact ? draw_exact_pair(group, u) : draw_pair(group, u), x, out);
}

TWOFOUR_HOST_DEVICE bool is_finite(float x) { return (bits_of(x) & 0x7fffffffu) < 0x7f800000u; }

TWOFOUR_HOST_DEVICE bool are_finite(const float (&x)[4]) {
  return is_finite(x[0]) && is_finite(x[1]) && is_finite(x[2]) && is_finite(x[3]);
}

/// Keeps the first two entries of x that are infinite or NaN; 0 elsewhere.
TWOFOUR_HOST_DEVICE void keep_nonfinite(const float (&x)[4], float (&out)[4]) {
  int kept = 0;
  for (int i = 0; i < 4; ++i) {
    const bool keeps = !is_finite(x[i]) && kept < 2;
    out[i] = keeps ? x[i] : 0.0f;
    kept += keeps;
  }
}

/// The estimate of one group: see mvue24 in mvue.h.
template <Mvue kKind = Mvue::kApproximate>
TWOFOUR_HOST_DEVICE void mvue24_group(const float (&x)[4], float u, float (&out)[4]) {
  if (are_finite(x)) {
    mvue24_finite_group<kKind>(x, u, out);
  } else {
    keep_nonfinite(x, out);
  }
}

/// The places of two entries, in order, that include every nonzero entry of `group`.
TWOFOUR_HOST_DEVICE void places_of_pair(const float (&group)[4], uint32_t& first,
                                        uint32_t& second) {
  first = group[0] != 0.0f ? 0 : group[1] != 0.0f ? 1 : 2;
  second = group[3] != 0.0f                 ? 3
           : group[2] != 0.0f && first != 2 ? 2
           : group[1] != 0.0f && first == 0 ? 1
                                            : first + 1;
}

/// The probability that mvue24_group draws each entry, in double; for tests and analysis.
void mvue24_probabilities(const double (&x)[4], double (&p)[4]);

/// The probabilities of the exact minimum-variance estimate: min(1, 2 |x_i| / S), with the excess
/// over 1 distributed to the others.
void mvue24_exact_probabilities(const double (&x)[4], double (&p)[4]);

/// sum x_i² (1 / p_i - 1) over the nonzero entries.
double mvue24_variance(const double (&x)[4], const double (&p)[4]);

}  // namespace twofour::kernels
