// MVUE of rows as loops that the compiler vectorises; the definition is in group.h. Included by one
// source file an instruction set.
#pragma once

#include <cstring>

#include "twofour/kernels/group.h"
#include "twofour/kernels/panel24.h"
#include "twofour/kernels/philox_lanes.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kColumns = 64;  // columns that MVUE treats at a time

struct ColumnBlock {
  alignas(64) float x[4][kColumns];
};

// The estimates of a block of columns whose uniform numbers are `u`, sizeof(F) / 4 columns at once.
template <Mvue kKind, class F>
void draw_columns(const ColumnBlock& in, const float (&u)[kColumns], ColumnBlock& out) {
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  for (int64_t j = 0; j < kColumns; j += kWidth) {
    F x[4], drawn[4], numbers;
    for (int r = 0; r < 4; ++r) std::memcpy(&x[r], &in.x[r][j], sizeof(F));
    std::memcpy(&numbers, &u[j], sizeof(F));
    mvue24_finite_group<kKind>(x, numbers, drawn);
    for (int r = 0; r < 4; ++r) std::memcpy(&out.x[r][j], &drawn[r], sizeof(F));
  }
}

void mend_nonfinite(const ColumnBlock& in, ColumnBlock& out) {
  uint32_t largest = 0;
  for (const auto& row : in.x) {
    for (const float x : row) {
      const uint32_t bits = bits_of(x) & 0x7fffffffu;
      largest = largest < bits ? bits : largest;
    }
  }
  if (largest < 0x7f800000u) return;
  for (int64_t j = 0; j < kColumns; ++j) {
    const float x[4] = {in.x[0][j], in.x[1][j], in.x[2][j], in.x[3][j]};
    float kept[4];
    if (are_finite(x)) continue;
    keep_nonfinite(x, kept);
    for (int r = 0; r < 4; ++r) out.x[r][j] = kept[r];
  }
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
    const int64_t width = columns - begin < kColumns ? columns - begin : kColumns;
    ColumnBlock x = {}, drawn;
    alignas(64) float u[kColumns];
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t j = 0; j < width; ++j) x.x[r][j] = to_float(in[r * stride + begin + j]);
    }
    draw_uniforms(rounds, stream, (first_group + static_cast<uint32_t>(begin)) / 4, u);
    draw_columns<kKind, F>(x, u, drawn);
    mend_nonfinite(x, drawn);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t j = 0; j < width; ++j) store(drawn.x[r][j], out[r * columns + begin + j]);
    }
  }
}

inline uint32_t word_bits(bfloat16 value) { return value.bits; }
inline uint32_t word_bits(float16 value) { return value.bits; }
inline uint32_t word_bits(float value) { return bits_of(value); }

// One group of row `row` of a panel's block: the two places that hold its entries.
template <class T>
void store_group(const float (&drawn)[4], int64_t row, int64_t g, int64_t block, Panel24& panel) {
  uint32_t* words = panel.words(block, row / kQuad) + row % kQuad;
  uint16_t* offsets = panel.offsets(block, row / kQuad) + row % kQuad;
  uint32_t first, second;
  places_of_pair(drawn, first, second);
  T one, two;
  store(drawn[first], one);
  store(drawn[second], two);
  if (panel.kind() == PanelKind::kBfloat16Pairs) {
    words[g * kQuad] = word_bits(one) | word_bits(two) << 16;
    offsets[g * kQuad] = static_cast<uint16_t>(pair_index(first, second) * kSlotBytes);
  } else {
    words[2 * g * kQuad] = bits_of(to_float(one));
    words[(2 * g + 1) * kQuad] = bits_of(to_float(two));
    offsets[2 * g * kQuad] = static_cast<uint16_t>(first * kSlotBytes);
    offsets[(2 * g + 1) * kQuad] = static_cast<uint16_t>(second * kSlotBytes);
  }
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

}  // namespace
}  // namespace twofour::kernels
