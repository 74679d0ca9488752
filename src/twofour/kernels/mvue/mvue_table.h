// MVUE of rows as loops that the compiler vectorises; group.h has the definition.
#pragma once

#include <cstring>

#include "twofour/kernels/group.h"
#include "twofour/kernels/products/many_tokens/panel24.h"
#include "twofour/kernels/rows/table.h"
#include "twofour/kernels/simd/lanes_memory.h"
#include "twofour/kernels/simd/philox_lanes.h"

namespace twofour::kernels {

template <class T>
struct MvueTable {
  /// MVUE of four rows of `columns` entries, `stride` apart, into four rows of out. Rows beyond
  /// `rows` are neither read nor written. Group numbers start at `first_group`, a multiple of 4.
  using Rows = void (*)(const T* in, int64_t rows, int64_t columns, int64_t stride,
                        const RandomStream& stream, uint32_t first_group, T* out);
  Rows approximate, exact;
  /// Like `approximate`, for up to 64 tokens into block `block` of a panel [columns, tokens]. The
  /// block's group g has numbers from first_group + g * group_stride on, both multiples of 4.
  void (*block)(const T* in, int64_t tokens, int64_t stride, const RandomStream& stream,
                uint32_t first_group, uint32_t group_stride, int64_t block, Panel24& panel);
};

namespace {

constexpr int64_t kColumns = 64;  // their numbers are drawn together

// x[r]: `width` entries of row r, then zeros.
template <class F, class T>
void load_rows(const T* in, int64_t rows, int64_t width, int64_t stride, F (&x)[4]) {
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  for (int64_t r = 0; r < 4; ++r) {
    T padded[kWidth] = {};
    if (r < rows && width == kWidth) {
      x[r] = load_lanes<F>(in + r * stride);
    } else {
      if (r < rows) std::memcpy(padded, in + r * stride, static_cast<size_t>(width) * sizeof(T));
      x[r] = load_lanes<F>(padded);
    }
  }
}

template <class F, class T>
void store_rows(const F (&x)[4], int64_t rows, int64_t width, int64_t stride, T* out) {
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  for (int64_t r = 0; r < rows; ++r) {
    if (width == kWidth) {
      store_lanes(x[r], out + r * stride);
    } else {
      T padded[kWidth];
      store_lanes(x[r], padded);
      std::memcpy(out + r * stride, padded, static_cast<size_t>(width) * sizeof(T));
    }
  }
}

// Applies mvue24_group to every lane with an entry that is not finite.
template <class F>
void mend_nonfinite(const F (&x)[4], F (&out)[4]) {
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  float in[4][kWidth], drawn[4][kWidth];
  std::memcpy(in, x, sizeof in);
  std::memcpy(drawn, out, sizeof drawn);
  for (int64_t j = 0; j < kWidth; ++j) {
    const float group[4] = {in[0][j], in[1][j], in[2][j], in[3][j]};
    float kept[4];
    if (are_finite(group)) continue;
    keep_nonfinite(group, kept);
    for (int r = 0; r < 4; ++r) drawn[r][j] = kept[r];
  }
  std::memcpy(out, drawn, sizeof drawn);
}

// The estimates of the groups of one vector F of columns.
template <Mvue kKind, class F>
void draw_lanes(const F (&x)[4], F u, F (&out)[4]) {
  mvue24_finite_group<kKind>(x, u, out);
  const auto larger = [](WordsOf<F> a, WordsOf<F> b) { return a < b ? b : a; };
  WordsOf<F> size[4];
  for (int r = 0; r < 4; ++r) size[r] = bits_of(x[r]) & 0x7fffffffu;
  const auto largest = larger(larger(size[0], size[1]), larger(size[2], size[3]));
  if (any_lane(largest >= 0x7f800000u)) mend_nonfinite(x, out);
}

// The numbers of kColumns groups.
inline void draw_uniforms([[maybe_unused]] const PhiloxRounds& rounds,
                          [[maybe_unused]] const RandomStream& stream, uint32_t first_block,
                          float (&u)[kColumns]) {
  for (uint32_t block = 0; block < kColumns / 4; block += 4) {
#if defined(__AVX2__)
    uniforms_of_4_blocks(rounds, first_block + block, u + 4 * block);
#else
    for (uint32_t j = block; j < block + 4; ++j) {
      const PhiloxBlock words = stream(first_block + j);
      for (uint32_t k = 0; k < 4; ++k) u[4 * j + k] = uniform_from_bits(words[k]);
    }
#endif
  }
}

template <class T, Mvue kKind, class F>
void mvue_rows(const T* in, int64_t rows, int64_t columns, int64_t stride,
               const RandomStream& stream, uint32_t first_group, T* out) {
  const PhiloxRounds rounds(stream);
  for (int64_t begin = 0; begin < columns; begin += kColumns) {
    constexpr int64_t kWidth = sizeof(F) / sizeof(float);
    const int64_t end = begin + kColumns < columns ? begin + kColumns : columns;
    float u[kColumns];
    draw_uniforms(rounds, stream, (first_group + static_cast<uint32_t>(begin)) / 4, u);
    for (int64_t j = begin; j < end; j += kWidth) {
      const int64_t width = end - j < kWidth ? end - j : kWidth;
      F x[4], drawn[4];
      load_rows(in + j, rows, width, stride, x);
      draw_lanes<kKind>(x, load_lanes<F>(u + (j - begin)), drawn);
      store_rows(drawn, rows, width, columns, out + j);
    }
  }
}

// Stores one group of row `row` of a panel's block: its two entries and their places.
template <class T>
void store_group(const float (&drawn)[4], int64_t row, int64_t g, int64_t block, Panel24& panel) {
  uint32_t* words = panel.words(block, row / kQuad) + row % kQuad;
  uint16_t* offsets = panel.offsets(block, row / kQuad) + row % kQuad;
  uint32_t first, second;
  places_of_pair(drawn, first, second);
  T one, two;
  store(drawn[first], one);
  store(drawn[second], two);
  words[2 * g * kQuad] = bits_of(to_float(one));
  words[(2 * g + 1) * kQuad] = bits_of(to_float(two));
  offsets[2 * g * kQuad] = static_cast<uint16_t>(first * kSlotBytes);
  offsets[(2 * g + 1) * kQuad] = static_cast<uint16_t>(second * kSlotBytes);
}

template <class T>
void mvue_block_rows(const T* in, int64_t tokens, int64_t stride, const RandomStream& stream,
                     uint32_t first_group, uint32_t group_stride, int64_t block, Panel24& panel) {
  for (int64_t g = 0; 4 * g < tokens; ++g) {
    const uint32_t number = first_group + static_cast<uint32_t>(g) * group_stride;
    for (int64_t row = 0; row < panel.rows(); ++row) {
      float x[4] = {}, drawn[4];
      for (int64_t i = 0; i < 4 && 4 * g + i < tokens; ++i) {
        x[i] = to_float(in[(4 * g + i) * stride + row]);
      }
      mvue24_group(x, mvue24_uniform(stream, number + static_cast<uint32_t>(row)), drawn);
      store_group<T>(drawn, row, g, block, panel);
    }
  }
}

template <class T, class F>
constexpr MvueTable<T> kTable<MvueTable<T>, F> = {
    .approximate = mvue_rows<T, Mvue::kApproximate, F>,
    .exact = mvue_rows<T, Mvue::kExact, F>,
    .block = mvue_block_rows<T>};

}  // namespace
}  // namespace twofour::kernels
