// Bodies of product24_loops.h on float32 tiles for any compiler flags. Included by one source file
// per instruction set; everything has internal linkage.
#pragma once

#include <cstring>

#include "twofour/kernels/products/many_tokens/product24_loops.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kFloatGroupBytes = 4 * kSlotBytes;

template <class T>
void load_transposed_float(const T* x, int64_t tokens, int64_t stride, int64_t groups,
                           std::byte* tile) {
  float* out = reinterpret_cast<float*>(tile);
  const int64_t padded = (tokens + 15) / 16 * 16;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t k = 0; k < 4 * groups; ++k) out[k * kTileTokens + t] = to_float(x[t * stride + k]);
  }
  for (int64_t k = 0; k < 4 * groups; ++k) {
    for (int64_t t = tokens; t < padded; ++t) out[k * kTileTokens + t] = 0.0f;
  }
}

template <class T>
void load_rows_float(const T* x, int64_t rows, int64_t width, int64_t stride, int64_t groups,
                     std::byte* tile) {
  float* out = reinterpret_cast<float*>(tile);
  for (int64_t k = 0; k < 4 * groups; ++k, out += kTileTokens) {
    const int64_t filled = k < rows ? width : 0;
    for (int64_t n = 0; n < filled; ++n) out[n] = to_float(x[k * stride + n]);
    for (int64_t n = filled; n < kTileTokens; ++n) out[n] = 0.0f;
  }
}

// Vectors have kLanes floats; kSlice vectors of each of the four rows stay in registers.
template <int kLanes, int kSlice>
void multiply_slice(const uint32_t* words, const uint16_t* offsets, int64_t groups,
                    const std::byte* tile, float* c) {
  typedef float Vector __attribute__((vector_size(kLanes * 4)));
  Vector sum[kQuad][kSlice];
  for (int r = 0; r < kQuad; ++r) {
    for (int j = 0; j < kSlice; ++j) {
      std::memcpy(&sum[r][j], c + r * kTileTokens + j * kLanes, sizeof(Vector));
    }
  }
  for (int64_t g = 0; g < groups; ++g, tile += kFloatGroupBytes) {
    for (int step = 0; step < 2; ++step, words += kQuad, offsets += kQuad) {
      for (int r = 0; r < kQuad; ++r) {
        float word;
        std::memcpy(&word, words + r, sizeof word);
        for (int j = 0; j < kSlice; ++j) {
          Vector x;
          std::memcpy(&x, tile + offsets[r] + j * sizeof x, sizeof x);
          sum[r][j] += word * x;
        }
      }
    }
  }
  for (int r = 0; r < kQuad; ++r) {
    for (int j = 0; j < kSlice; ++j) {
      std::memcpy(c + r * kTileTokens + j * kLanes, &sum[r][j], sizeof(Vector));
    }
  }
}

template <int kLanes, int kSlice>
void multiply_float(const uint32_t* words, const uint16_t* offsets, int64_t groups,
                    const std::byte* tile, int64_t vectors, float* c) {
  int64_t token = 0;
  for (; token + kLanes * kSlice <= vectors * 16; token += kLanes * kSlice) {
    multiply_slice<kLanes, kSlice>(words, offsets, groups, tile + 4 * token, c + token);
  }
  for (; token < vectors * 16; token += kLanes) {
    multiply_slice<kLanes, 1>(words, offsets, groups, tile + 4 * token, c + token);
  }
}

template <class T>
void store_transposed_any(const float* c, int64_t rows, int64_t tokens, T* y, int64_t stride) {
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = 0; r < rows; ++r) store(c[r * kTileTokens + t], y[t * stride + r]);
  }
}

inline void add_rows_any(const float* c, int64_t rows, int64_t width, float* y, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t n = 0; n < width; ++n) y[r * stride + n] += c[r * kTileTokens + n];
  }
}

template <class T, int kLanes, int kSlice>
constexpr ProductLoops<T> kGenericLoops = {.load_transposed = load_transposed_float<T>,
                                           .load_rows = load_rows_float<T>,
                                           .multiply = multiply_float<kLanes, kSlice>,
                                           .store_transposed = store_transposed_any<T>,
                                           .add_rows = add_rows_any};

}  // namespace
}  // namespace twofour::kernels
