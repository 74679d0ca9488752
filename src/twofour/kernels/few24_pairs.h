// bfloat16 with vectors over tokens: of every group all six pairs of columns lie ready for 16
// tokens a vector, so that one dot product of pairs does both kept values of a group. Everything
// has internal linkage.
#pragma once

#include "twofour/kernels/avx512.h"
#include "twofour/kernels/few24_generic.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kPairs = 6;             // 01, 02, 03, 12, 13, 23
constexpr int64_t kPairBlockGroups = 64;  // of 16 tokens: half of a first-level cache of 48 KiB

// Groups come in multiples of 16 and tokens of 16, in x [groups, kPairs, tokens] of two entries.
inline size_t x_bytes_by_pair(int64_t tokens, int64_t columns) {
  const int64_t groups = whole(columns, kFewColumns) / 4;
  return static_cast<size_t>(groups * kPairs * whole(tokens, kTokenStep) * 4);
}

// The six pairs of 16 tokens from (x0, x1) and (x2, x3).
inline void store_pairs(__m512i a, __m512i b, int64_t tokens, uint32_t* out) {
  constexpr __mmask32 kUpperHalves = 0xaaaaaaaa;
  const __m512i x1 = _mm512_srli_epi32(a, 16), x2 = _mm512_slli_epi32(b, 16);
  _mm512_store_si512(out, a);
  _mm512_store_si512(out + tokens, _mm512_mask_blend_epi16(kUpperHalves, a, x2));
  _mm512_store_si512(out + 2 * tokens, _mm512_mask_blend_epi16(kUpperHalves, a, b));
  _mm512_store_si512(out + 3 * tokens, _mm512_mask_blend_epi16(kUpperHalves, x1, x2));
  _mm512_store_si512(out + 4 * tokens, _mm512_mask_blend_epi16(kUpperHalves, x1, b));
  _mm512_store_si512(out + 5 * tokens, b);
}

inline void load_by_pair(const bfloat16* x, int64_t tokens, int64_t, int64_t stride, int64_t first,
                         int64_t last, std::byte* out) {
  const int64_t padded = whole(tokens, kTokenStep);
  uint32_t* pairs = reinterpret_cast<uint32_t*>(out);
  for (int64_t t = 0; t < padded; t += 16) {
    for (int64_t k = first; k < last; k += 32) {
      const int64_t groups = last - k < 32 ? (last - k) / 4 : 8;
      __m512i block[16];
      for (int64_t i = 0; i < 16; ++i) {
        const __mmask16 words = t + i < tokens ? first_lanes(2 * groups) : 0;
        block[i] = _mm512_maskz_loadu_epi32(words, x + (t + i) * stride + k);
      }
      transpose16(block);
      for (int64_t g = 0; g < groups; ++g) {
        store_pairs(block[2 * g], block[2 * g + 1], padded,
                    pairs + (k / 4 + g) * kPairs * padded + t);
      }
    }
  }
}

// Where the pair of each position lies in a group of x, in bytes.
struct PairOffsets {
  uint32_t of_position[16] = {};
  explicit PairOffsets(int64_t tokens) {
    uint32_t pair = 0;
    for (uint32_t first = 0; first < 4; ++first) {
      for (uint32_t second = first + 1; second < 4; ++second, ++pair) {
        of_position[first | second << 2] = pair * static_cast<uint32_t>(tokens) * 4;
      }
    }
  }
};

// sums [4, kFewTokens] += the groups [first, last) of rows [row, row + 4) of a, of which those
// beyond `rows` repeat the first, times x; first is even.
template <int kVectors>
void multiply_quad_pairs(const Packed24View<bfloat16>& a, int64_t row, int64_t rows, int64_t first,
                         int64_t last, const std::byte* x, const PairOffsets& offsets,
                         float* sums) {
  constexpr int64_t kGroupBytes = kPairs * kVectors * 64;
  constexpr int kSums = kVectors < 3 ? 2 : 1;  // even and odd groups apart hide the latency
  const bfloat16* values[kQuadRows];
  const uint8_t* positions[kQuadRows];
  __m512 sum[kSums][kQuadRows][kVectors];
  for (int r = 0; r < kQuadRows; ++r) {
    const int64_t own = r < rows ? row + r : row;
    values[r] = a.row_values(own) + 2 * first;
    positions[r] = a.row_positions(own) + first / 2;
    for (int64_t g = 0; g < last - first; g += 16) {
      prefetch(values[r] + 2 * g, kQuadRows * a.columns);
    }
    prefetch(positions[r], kQuadRows * a.position_bytes());
    for (int j = 0; j < kVectors; ++j) {
      sum[0][r][j] = _mm512_load_ps(sums + r * kFewTokens + 16 * j);
      if (kSums == 2) sum[kSums - 1][r][j] = _mm512_setzero_ps();
    }
  }
  const auto add = [&](int64_t g, int r, uint32_t position, const std::byte* group) {
    int word;
    std::memcpy(&word, values[r] + 2 * g, sizeof word);
    const auto pair = reinterpret_cast<__m512bh>(_mm512_set1_epi32(word));
    const std::byte* entries = group + offsets.of_position[position];
    for (int j = 0; j < kVectors; ++j) {
      __m512& own = sum[g % kSums][r][j];
      own = _mm512_dpbf16_ps(own, pair,
                             reinterpret_cast<__m512bh>(_mm512_load_si512(entries + 64 * j)));
    }
  };
  const int64_t groups = last - first;
  int64_t g = 0;
  for (; g + 2 <= groups; g += 2, x += 2 * kGroupBytes) {
    for (int r = 0; r < kQuadRows; ++r) {
      const uint32_t both = positions[r][g / 2];
      add(0, r, both & 15, x);
      add(1, r, both >> 4, x + kGroupBytes);
    }
    for (auto& at : values) at += 4;
  }
  if (g < groups) {
    for (int r = 0; r < kQuadRows; ++r) add(0, r, positions[r][g / 2] & 15u, x);
  }
  for (int r = 0; r < kQuadRows; ++r) {
    for (int j = 0; j < kVectors; ++j) {
      __m512 total = sum[0][r][j];
      if (kSums == 2) total = _mm512_add_ps(total, sum[kSums - 1][r][j]);
      _mm512_store_ps(sums + r * kFewTokens + 16 * j, total);
    }
  }
}

template <int kVectors>
void multiply_pairs(const Packed24View<bfloat16>& a, int64_t row, int64_t rows, const std::byte* x,
                    int64_t tokens, float* sums) {
  constexpr int64_t kGroupBytes = kPairs * kVectors * 64;
  constexpr int64_t kGroups = kPairBlockGroups / kVectors / 2 * 2;
  const PairOffsets offsets(16 * kVectors);
  alignas(64) float by_row[kFewRows][kFewTokens] = {};
  for (int64_t g = 0; g < a.groups(); g += kGroups) {
    const int64_t end = g + kGroups < a.groups() ? g + kGroups : a.groups();
    for (int64_t r = 0; r < rows; r += kQuadRows) {
      multiply_quad_pairs<kVectors>(a, row + r, rows - r, g, end, x + g * kGroupBytes, offsets,
                                    by_row[r]);
    }
  }
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = 0; r < rows; ++r) sums[t * kFewRows + r] = by_row[r][t];
  }
}

inline void multiply_by_pair(const Packed24View<bfloat16>& a, int64_t row, int64_t rows,
                             const std::byte* x, int64_t tokens, float* sums) {
  switch (whole(tokens, kTokenStep) / kTokenStep) {
    case 1:
      return multiply_pairs<1>(a, row, rows, x, tokens, sums);
    case 2:
      return multiply_pairs<2>(a, row, rows, x, tokens, sums);
    case 3:
      return multiply_pairs<3>(a, row, rows, x, tokens, sums);
    default:
      return multiply_pairs<4>(a, row, rows, x, tokens, sums);
  }
}

}  // namespace
}  // namespace twofour::kernels
