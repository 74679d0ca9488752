// The arithmetic of one group of consecutive entries, shared by every kernel on every device.
#pragma once

#include <cstdint>

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
/// even.
TWOFOUR_HOST_DEVICE uint32_t mvue24_group_stride(int64_t features) {
  return static_cast<uint32_t>(features + 1) / 2 * 2;
}

/// The two uniform numbers of MVUE's group `group` of a stream: two groups share a Philox block.
TWOFOUR_HOST_DEVICE void mvue24_uniforms(const RandomStream& stream, uint32_t group, float& u,
                                         float& v) {
  const PhiloxBlock bits = stream(group / 2);
  u = uniform_from_bits(bits[group % 2 * 2]);
  v = uniform_from_bits(bits[group % 2 * 2 + 1]);
}

/// A power of two that brings `m`, the largest magnitude of a group, near 1: scaling by it is
/// exact. 1 / scale is a power of two as well.
TWOFOUR_HOST_DEVICE float mvue24_scale(float m) {
  const uint32_t bits = 0x7f000000u - (bits_of(m) & 0x7f800000u);
  return float_from_bits(bits < 0x00800000u   ? 0x00800000u
                         : bits > 0x7e800000u ? 0x7e800000u
                                              : bits);
}

/// The two entries that approximate MVUE (arXiv 2203.10991) draws from four, each divided by its
/// probability; the others are 0. `u`, `v` are uniform in [0, 1). The expectation is x.
///
/// With b = |x| scaled by a power of two, so that denormals and large values neither vanish nor
/// overflow, S = sum b, q_j = b_j / (S - b_j), an entry's probability is p_i = (b_i / S)(1 + sum
/// over j != i of q_j), hence |x_i| / p_i = S / (1 + …), scaled back. S - b_j is the sum of the
/// other three: a difference would cancel. A group of zeros gives zeros; one with an infinity or
/// NaN keeps the first two such entries, so that a diverged run is seen, and nothing else.
TWOFOUR_HOST_DEVICE void mvue24_group(const float (&x)[4], float u, float v, float (&out)[4]) {
  float b[4], d[4], q[4];
  const float scale = mvue24_scale(maximum(maximum(magnitude(x[0]), magnitude(x[1])),
                                           maximum(magnitude(x[2]), magnitude(x[3]))));
  const float back = float_from_bits(0x7f000000u - bits_of(scale));
  for (int i = 0; i < 4; ++i) b[i] = magnitude(x[i]) * scale;
  d[0] = b[1] + b[2] + b[3];
  d[1] = b[0] + b[2] + b[3];
  d[2] = b[0] + b[1] + b[3];
  d[3] = b[0] + b[1] + b[2];
  for (int i = 0; i < 4; ++i) q[i] = d[i] > 0.0f ? b[i] / d[i] : 0.0f;
  const float c0 = b[0], c1 = c0 + b[1], c2 = c1 + b[2], sum = c2 + b[3];

  const float at = u * sum;
  const int first = at < c0 ? 0 : at < c1 ? 1 : at < c2 ? 2 : 3;
  float w[4];
  for (int i = 0; i < 4; ++i) w[i] = i == first ? 0.0f : b[i];
  const float e0 = w[0], e1 = e0 + w[1], e2 = e1 + w[2], rest = e2 + w[3];
  const float then = v * rest;
  const int second = then < e0 ? 0 : then < e1 ? 1 : then < e2 ? 2 : 3;

  const float others[4] = {q[1] + q[2] + q[3], q[0] + q[2] + q[3], q[0] + q[1] + q[3],
                           q[0] + q[1] + q[2]};
  for (int i = 0; i < 4; ++i) {
    const bool drawn = (i == first || i == second) && b[i] > 0.0f;
    const float value = back * (sum / (1.0f + others[i]));
    out[i] = drawn ? (x[i] < 0.0f ? -value : value) : 0.0f;
  }
  const bool finite = bits_of(x[0]) << 1 < 0xff000000u && bits_of(x[1]) << 1 < 0xff000000u &&
                      bits_of(x[2]) << 1 < 0xff000000u && bits_of(x[3]) << 1 < 0xff000000u;
  if (!finite) {
    int kept = 0;
    for (int i = 0; i < 4; ++i) {
      const bool keeps = bits_of(x[i]) << 1 >= 0xff000000u && kept < 2;
      out[i] = keeps ? x[i] : 0.0f;
      kept += keeps;
    }
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
