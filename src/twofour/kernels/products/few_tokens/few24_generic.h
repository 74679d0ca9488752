// Bodies of few24_loops.h for any compiler flags: the rounding of sums, and the product with
// vectors over tokens. Included by one source file per instruction set; everything has internal
// linkage.
#pragma once

#include <cstring>

#include "twofour/kernels/products/few_tokens/few24_loops.h"

namespace twofour::kernels {
namespace {

// z += bias, then rounding, each over the whole row so that it vectorises.
template <class T>
void finish_any(float* z, int64_t rows, const T* bias, T* y) {
  if (bias) {
    for (int64_t r = 0; r < rows; ++r) z[r] += to_float(bias[r]);
  }
  for (int64_t r = 0; r < rows; ++r) store(z[r], y[r]);
}

// Prefetch distances in bytes. The hardware alone, following several rows at once, reaches three
// quarters of the bandwidth.
struct Ahead {
  int64_t values, positions;
};

inline void prefetch(const void* at, int64_t distance) {
  __builtin_prefetch(static_cast<const char*>(at) + distance);
}

inline int64_t whole(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// Tokens in the vectors: x is [columns, tokens] in float32, tokens padded to a multiple of 16.
constexpr int64_t kTokenStep = 16, kQuadRows = 4;
constexpr int64_t kMostSteps = kFewTokens / kTokenStep;

inline size_t x_bytes_by_column(int64_t tokens, int64_t columns) {
  return static_cast<size_t>(whole(tokens, kTokenStep) * whole(columns, kFewColumns)) * 4;
}

template <class T>
void load_by_column(const T* x, int64_t tokens, int64_t, int64_t stride, int64_t first,
                    int64_t last, std::byte* out) {
  const int64_t padded = whole(tokens, kTokenStep);
  float* columns = reinterpret_cast<float*>(out);
  for (int64_t k = first; k < last; ++k) {
    for (int64_t t = tokens; t < padded; ++t) columns[k * padded + t] = 0.0f;
  }
  constexpr int64_t kBlock = 16;  // columns that stay in the cache for all tokens
  for (int64_t k = first; k < last; k += kBlock) {
    const int64_t end = k + kBlock < last ? k + kBlock : last;
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t j = k; j < end; ++j) columns[j * padded + t] = to_float(x[t * stride + j]);
    }
  }
}

// The operands from four rows: their values as float32 and the offsets of their columns.
struct QuadBlock {
  static constexpr int64_t kGroups = 96;
  float value[kQuadRows][2 * kGroups];
  uint32_t offset[kQuadRows][2 * kGroups];
};

typedef uint32_t Lanes __attribute__((vector_size(64)));
constexpr Lanes kShifts = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
constexpr Lanes kGroupColumns = {0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28};

// The groups [first, last) of rows [row, row + 4); rows beyond `rows` repeat the first.
template <class T>
void read_quad(const Packed24View<T>& a, int64_t row, int64_t rows, int64_t first, int64_t last,
               uint32_t column_bytes, QuadBlock& block) {
  const int64_t value_bytes = a.columns / 2 * static_cast<int64_t>(sizeof(T));
  const int64_t groups = last - first;
  for (int64_t r = 0; r < kQuadRows; ++r) {
    const int64_t own = r < rows ? row + r : row;
    const T* values = a.row_values(own) + 2 * first;
    const uint8_t* positions = a.row_positions(own) + first / 2;
    for (int64_t i = 0; i < 2 * groups; i += 64 / static_cast<int64_t>(sizeof(T))) {
      prefetch(values + i, kQuadRows * value_bytes);
    }
    prefetch(positions, kQuadRows * a.position_bytes());
    for (int64_t i = 0; i < 2 * groups; ++i) block.value[r][i] = to_float(values[i]);
    for (int64_t g = 0; g < groups; g += 8) {
      uint32_t bits = 0;
      if (groups - g >= 8) {
        std::memcpy(&bits, positions + g / 2, sizeof bits);
      } else {
        std::memcpy(&bits, positions + g / 2, static_cast<size_t>(groups - g + 1) / 2);
      }
      const Lanes columns = (bits >> kShifts & 3u) + kGroupColumns + static_cast<uint32_t>(4 * g);
      const Lanes offsets = columns * column_bytes;
      std::memcpy(&block.offset[r][2 * g], &offsets, sizeof offsets);
    }
  }
}

// sums [4, kFewTokens] += the block's values times kVectors vectors of kLanes tokens. First and
// second entries of groups have separate sums, enough to hide the latency of an addition.
template <int kLanes, int kVectors>
void multiply_quad(const QuadBlock& block, int64_t groups, const std::byte* x, float* sums) {
  typedef float Vector __attribute__((vector_size(kLanes * 4)));
  constexpr int kSums = kVectors < 3 ? 2 : 1;
  Vector sum[kSums][kQuadRows][kVectors] = {};
  for (int64_t g = 0; g < groups; ++g) {
    for (int r = 0; r < kQuadRows; ++r) {
      uint64_t offsets;  // one load for both, since loads bound this loop
      std::memcpy(&offsets, &block.offset[r][2 * g], sizeof offsets);
      const std::byte* columns[2] = {x + (offsets & 0xffffffffu), x + (offsets >> 32)};
      for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < kVectors; ++j) {
          Vector column;
          std::memcpy(&column, columns[i] + j * sizeof column, sizeof column);
          sum[i % kSums][r][j] += block.value[r][2 * g + i] * column;
        }
      }
    }
  }
  for (int r = 0; r < kQuadRows; ++r) {
    for (int j = 0; j < kVectors; ++j) {
      Vector total;
      std::memcpy(&total, sums + r * kFewTokens + j * kLanes, sizeof total);
      for (int i = 0; i < kSums; ++i) total += sum[i][r][j];
      std::memcpy(sums + r * kFewTokens + j * kLanes, &total, sizeof total);
    }
  }
}

// kVectors: vectors of a row whose sums fit in the registers.
template <int kLanes, int kVectors>
void multiply_quad_of(const QuadBlock& block, int64_t groups, const std::byte* x, int64_t tokens,
                      float* sums) {
  int64_t t = 0;
  for (; t + kLanes * kVectors <= tokens; t += kLanes * kVectors) {
    multiply_quad<kLanes, kVectors>(block, groups, x + 4 * t, sums + t);
  }
  for (; kVectors > 2 && t + 2 * kLanes <= tokens; t += 2 * kLanes) {
    multiply_quad<kLanes, 2>(block, groups, x + 4 * t, sums + t);
  }
  for (; t < tokens; t += kLanes) {
    multiply_quad<kLanes, 1>(block, groups, x + 4 * t, sums + t);
  }
}

template <class T, int kLanes, int kVectors>
void multiply_by_column(const Packed24View<T>& a, int64_t row, int64_t rows, const std::byte* x,
                        int64_t tokens, float* sums) {
  const int64_t padded = whole(tokens, kTokenStep), column_bytes = 4 * padded;
  // As many columns as fit in half of a first-level cache of 48 KiB.
  const int64_t groups_at_a_time = QuadBlock::kGroups / (padded / kTokenStep);
  alignas(64) float by_row[kFewRows][kFewTokens] = {};
  QuadBlock block;
  for (int64_t g = 0; g < a.groups(); g += groups_at_a_time) {
    const int64_t end = g + groups_at_a_time < a.groups() ? g + groups_at_a_time : a.groups();
    for (int64_t r = 0; r < rows; r += kQuadRows) {
      read_quad(a, row + r, rows - r, g, end, static_cast<uint32_t>(column_bytes), block);
      multiply_quad_of<kLanes, kVectors>(block, end - g, x + 4 * g * column_bytes, padded,
                                         by_row[r]);
    }
  }
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = 0; r < rows; ++r) sums[t * kFewRows + r] = by_row[r][t];
  }
}

// The number of columns whose positions fill a cache line.
constexpr int64_t kLineColumns = 512;

// Rows in the vectors: x is [tokens, columns] in float32, columns padded with zeros.
inline size_t x_bytes_by_row(int64_t tokens, int64_t columns) {
  return static_cast<size_t>(tokens * whole(columns, kFewColumns)) * 4;
}

template <class T>
void load_by_row(const T* x, int64_t tokens, int64_t columns, int64_t stride, int64_t first,
                 int64_t last, std::byte* out) {
  const int64_t padded = whole(columns, kFewColumns);
  for (int64_t t = 0; t < tokens; ++t) {
    float* row = reinterpret_cast<float*>(out) + t * padded;
    for (int64_t k = first; k < last; ++k) row[k] = to_float(x[t * stride + k]);
    for (int64_t k = last; k < whole(last, kFewColumns); ++k) row[k] = 0.0f;
  }
}

// The same in bfloat16.
inline size_t x_bytes_of_bfloat16(int64_t tokens, int64_t columns) {
  return x_bytes_by_row(tokens, columns) / 2;
}

inline void load_bfloat16(const bfloat16* x, int64_t tokens, int64_t columns, int64_t stride,
                          int64_t first, int64_t last, std::byte* out) {
  const int64_t padded = whole(columns, kFewColumns);
  for (int64_t t = 0; t < tokens; ++t) {
    bfloat16* row = reinterpret_cast<bfloat16*>(out) + t * padded;
    std::memcpy(row + first, x + t * stride + first, static_cast<size_t>(last - first) * 2);
    std::memset(row + last, 0, static_cast<size_t>(whole(last, kFewColumns) - last) * 2);
  }
}

}  // namespace
}  // namespace twofour::kernels
