// The arithmetic of one group of consecutive entries, shared by every kernel on every device.
#pragma once

#include <cstdint>

#include "twofour/kernels/mvue.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

TWOFOUR_HOST_DEVICE float minimum(float a, float b) { return b < a ? b : a; }
TWOFOUR_HOST_DEVICE float maximum(float a, float b) { return b > a ? b : a; }
TWOFOUR_HOST_DEVICE float magnitude(float a) { return float_from_bits(bits_of(a) & 0x7fffffffu); }

/// True if entry i of the group is one of the `kept` largest magnitudes. Of equal magnitudes the
/// later entry is larger, NaN is larger than infinity: always exactly `kept` entries of `size` are
/// true.
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
TWOFOUR_HOST_DEVICE float threshold24(float a, float b, float c, float d) {
  const float low0 = minimum(magnitude(a), magnitude(b)),
              high0 = maximum(magnitude(a), magnitude(b));
  const float low1 = minimum(magnitude(c), magnitude(d)),
              high1 = maximum(magnitude(c), magnitude(d));
  return minimum(maximum(low0, low1), minimum(high0, high1));
}

/// S(a) = sign(a) · max(|a| - t, 0).
TWOFOUR_HOST_DEVICE float shrink(float a, float t) {
  const float rest = magnitude(a) - t;
  return rest > 0.0f ? (a < 0.0f ? -rest : rest) : 0.0f;
}

/// By how much the number of a group grows from one group of tokens to the next: the features,
/// rounded up to a multiple of 4, because four groups share a Philox block.
TWOFOUR_HOST_DEVICE uint32_t mvue24_group_stride(int64_t features) {
  return static_cast<uint32_t>(features + 3) / 4 * 4;
}

/// The uniform number in [0, 1) of MVUE's group `group` of a stream: one word of block group / 4.
TWOFOUR_HOST_DEVICE float mvue24_uniform(const RandomStream& stream, uint32_t group) {
  return uniform_from_bits(stream(group / 4)[group % 4]);
}

/// A power of two that brings `m`, the largest magnitude of a group, near 1: scaling by it is
/// exact. 1 / scale is a power of two as well.
TWOFOUR_HOST_DEVICE float mvue24_scale(float m) {
  const uint32_t bits = 0x7f000000u - (bits_of(m) & 0x7f800000u);
  return float_from_bits(bits < 0x00800000u   ? 0x00800000u
                         : bits > 0x7e800000u ? 0x7e800000u
                                              : bits);
}

/// The magnitudes of a group of finite numbers, scaled near 1 so that denormals and large values
/// neither vanish nor overflow.
struct ScaledGroup {
  float b[4];
  float back;  ///< b * back = |x|
};

TWOFOUR_HOST_DEVICE ScaledGroup scaled_group(const float (&x)[4]) {
  const float scale = mvue24_scale(maximum(maximum(magnitude(x[0]), magnitude(x[1])),
                                           maximum(magnitude(x[2]), magnitude(x[3]))));
  return {{magnitude(x[0]) * scale, magnitude(x[1]) * scale, magnitude(x[2]) * scale,
           magnitude(x[3]) * scale},
          float_from_bits(0x7f000000u - bits_of(scale))};
}

/// The two entries that were drawn, first and second, and the magnitudes that they get.
/// first_upto[k]: the first is one of the entries 0..k. second_upto[k]: the second is one of the
/// first k + 1 of the three entries that are not the first.
struct DrawnPair {
  bool first_upto[3];
  bool second_upto[2];
  float first, second;
};

/// The approximate MVUE (arXiv 2203.10991) of a group of finite numbers: draws one entry by
/// magnitude, then one of the other three by magnitude, and divides each by the probability that it
/// is drawn at all. `u` is uniform in [0, 1): its place inside the interval of the first entry
/// draws the second. A probability is off by some 2^-24, the resolution of u, at most.
///
/// With S = sum b and d_j = S - b_j, taken as the sum of the other three (a difference would
/// cancel), entry i has p_i = b_i / S * (1 + sum over j != i of b_j / d_j). For a pair i, j and the
/// others k, l this makes b_i / p_i = d_j q / (q + d_j s) with q = S d_k d_l and
/// s = b_k d_l + b_l d_k: one division, and no d_i that may be 0.
TWOFOUR_HOST_DEVICE DrawnPair draw_pair(const ScaledGroup& group, float u) {
  const float(&b)[4] = group.b;
  const float c1 = b[0] + b[1], c2 = c1 + b[2], sum = c2 + b[3], at = u * sum;
  const bool i0 = at < b[0], i1 = at < c1, i2 = at < c2;
  const float bi = i0 ? b[0] : i1 ? b[1] : i2 ? b[2] : b[3];
  const float before = i0 ? 0.0f : i1 ? b[0] : i2 ? c1 : c2;
  const float other0 = i0 ? b[1] : b[0], other1 = i1 ? b[2] : b[1], other2 = i2 ? b[3] : b[2];
  const float other01 = other0 + other1, di = other01 + other2;
  const float then = (at - before) * di;
  const bool j0 = then < other0 * bi, j1 = then < other01 * bi;
  const float bj = j0 ? other0 : j1 ? other1 : other2;
  const float bk = j0 ? other1 : other0, bl = j1 ? other2 : other1;
  const float ij = bi + bj, dj = bi + (bk + bl), dk = ij + bl, dl = ij + bk;
  const float q = sum * (dk * dl), s = bk * dl + bl * dk;
  const float first = dj * (q / (q + dj * s)), second = di * (q / (q + di * s));
  return {{i0, i1, i2},
          {j0, j1},
          bi > 0.0f ? first * group.back : 0.0f,
          bj > 0.0f ? second * group.back : 0.0f};
}

/// The MVUE of a group of finite numbers with p_i = min(1, 2 b_i / S). Where the largest is at
/// least d, the sum of the others, it is kept as it is and one of the others, by magnitude, becomes
/// d. Elsewhere two entries become S / 2: those whose intervals of the running sum hold u S / 2 and
/// (u + 1) S / 2.
TWOFOUR_HOST_DEVICE DrawnPair draw_exact_pair(const ScaledGroup& group, float u) {
  const float(&b)[4] = group.b;
  const float c1 = b[0] + b[1], c2 = c1 + b[2], low = b[2] + b[3], half = (c1 + low) * 0.5f;
  const bool large0 = b[0] >= b[1] + low, large1 = large0 || b[1] >= b[0] + low;
  const bool large2 = large1 || b[2] >= c1 + b[3], large = large2 || b[3] >= c2;
  const float at = u * half;
  const bool i0 = large0 || (!large && at < b[0]), i1 = large1 || (!large && at < c1);
  const bool i2 = large2 || (!large && at < c2);
  const float bi = i0 ? b[0] : i1 ? b[1] : i2 ? b[2] : b[3];
  const float other0 = i0 ? b[1] : b[0], other1 = i1 ? b[2] : b[1], other2 = i2 ? b[3] : b[2];
  const float other01 = other0 + other1, di = other01 + other2;
  const float then = large ? u * di : at + half - bi;
  const bool j0 = then < other0, j1 = then < other01;
  const float bj = j0 ? other0 : j1 ? other1 : other2;
  return {{i0, i1, i2},
          {j0, j1},
          bi > 0.0f ? (large ? bi : half) * group.back : 0.0f,
          bj > 0.0f ? (large ? di : half) * group.back : 0.0f};
}

/// Puts a pair, with the signs of x, where it stood.
TWOFOUR_HOST_DEVICE void place_pair(const DrawnPair& pair, const float (&x)[4], float (&out)[4]) {
  const float other0 = pair.second_upto[0] ? pair.second : 0.0f;
  const float other1 = pair.second_upto[1] && !pair.second_upto[0] ? pair.second : 0.0f;
  const float other2 = pair.second_upto[1] ? 0.0f : pair.second;
  const bool(&i)[3] = pair.first_upto;
  const float value[4] = {i[0] ? pair.first : other0,
                          i[0]   ? other0
                          : i[1] ? pair.first
                                 : other1,
                          i[1]   ? other1
                          : i[2] ? pair.first
                                 : other2,
                          i[2] ? other2 : pair.first};
  for (int k = 0; k < 4; ++k) {
    const uint32_t sign = value[k] > 0.0f ? bits_of(x[k]) & 0x80000000u : 0u;
    out[k] = float_from_bits(bits_of(value[k]) | sign);
  }
}

TWOFOUR_HOST_DEVICE bool is_finite(float x) { return (bits_of(x) & 0x7fffffffu) < 0x7f800000u; }

TWOFOUR_HOST_DEVICE bool are_finite(const float (&x)[4]) {
  return is_finite(x[0]) & is_finite(x[1]) & is_finite(x[2]) & is_finite(x[3]);
}

/// The first two entries of x that are infinite or NaN, and nothing else.
TWOFOUR_HOST_DEVICE void keep_nonfinite(const float (&x)[4], float (&out)[4]) {
  int kept = 0;
  for (int i = 0; i < 4; ++i) {
    const bool keeps = !is_finite(x[i]) && kept < 2;
    out[i] = keeps ? x[i] : 0.0f;
    kept += keeps;
  }
}

template <Mvue kKind>
TWOFOUR_HOST_DEVICE void mvue24_finite_group(const float (&x)[4], float u, float (&out)[4]) {
  const ScaledGroup group = scaled_group(x);
  place_pair(kKind == Mvue::kExact ? draw_exact_pair(group, u) : draw_pair(group, u), x, out);
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

/// The places of two entries, in order, that hold every entry of `group` that is not 0.
TWOFOUR_HOST_DEVICE void places_of_pair(const float (&group)[4], uint32_t& first,
                                        uint32_t& second) {
  first = group[0] != 0.0f ? 0 : group[1] != 0.0f ? 1 : 2;
  second = group[3] != 0.0f                 ? 3
           : group[2] != 0.0f && first != 2 ? 2
           : group[1] != 0.0f && first == 0 ? 1
                                            : first + 1;
}

/// The probabilities with which mvue24_group draws each entry, in double: for tests and analysis.
void mvue24_probabilities(const double (&x)[4], double (&p)[4]);

/// The probabilities of the exact minimum-variance estimate: min(1, 2 |x_i| / S), what is capped at
/// 1 leaving its share to the rest.
void mvue24_exact_probabilities(const double (&x)[4], double (&p)[4]);

/// sum x_i² (1 / p_i - 1) over the entries that are not 0.
double mvue24_variance(const double (&x)[4], const double (&p)[4]);

}  // namespace twofour::kernels
