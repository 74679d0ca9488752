// The loops of mask.h by entry, as their definition; mask_vectors.h has the vector loops.
#pragma once

#include <cstdint>
#include <cstring>

#include "twofour/kernels/group.h"
#include "twofour/kernels/masks/transposable24.h"
#include "twofour/kernels/rows/table.h"

namespace twofour::kernels {

template <class T>
struct MaskTable {
  /// One row of `columns` entries, a multiple of `group`.
  void (*magnitude)(const T* row, int64_t columns, int kept, int group, uint8_t* mask);
  /// Four rows of `columns` entries, a multiple of 4, `stride` apart; in the mask `columns` apart.
  void (*transposable)(const T* rows, int64_t columns, int64_t stride, uint8_t* mask);
  void (*apply)(const T* in, const uint8_t* mask, int64_t count, T* out);
};

/// Loops over the bytes and bits of masks. `pack` and `unpack` take multiples of 8 entries.
struct MaskBytesTable {
  int64_t (*flips)(const uint8_t* mask, const uint8_t* other, int64_t count);
  void (*pack)(const uint8_t* mask, int64_t count, uint8_t* bits);
  void (*unpack)(const uint8_t* bits, int64_t count, uint8_t* mask);
  int64_t (*bit_flips)(const uint8_t* bits, const uint8_t* other, int64_t bytes);
};

namespace {

template <class T>
void magnitude_groups(const T* row, int64_t columns, int kept, int group, uint8_t* mask) {
  for (int64_t begin = 0; begin < columns; begin += group) {
    float values[8];
    for (int i = 0; i < group; ++i) values[i] = to_float(row[begin + i]);
    for (int i = 0; i < group; ++i) mask[begin + i] = is_kept(values, group, kept, i);
  }
}

template <class T>
void transposable_blocks(const T* rows, int64_t columns, int64_t stride, uint8_t* mask) {
  for (int64_t begin = 0; begin < columns; begin += 4) {
    float block[4][4];
    for (int64_t r = 0; r < 4; ++r) {
      for (int64_t c = 0; c < 4; ++c) block[r][c] = to_float(rows[r * stride + begin + c]);
    }
    const uint32_t kept = transposable_pattern(block);
    for (int64_t r = 0; r < 4; ++r) {
      for (int64_t c = 0; c < 4; ++c) mask[r * columns + begin + c] = kept >> (4 * r + c) & 1u;
    }
  }
}

inline float entry_or_zero(float value, bool kept) {
  return float_from_bits(kept ? bits_of(value) : 0u);
}
template <class T>
T entry_or_zero(T value, bool kept) {
  return {static_cast<uint16_t>(kept ? value.bits : 0u)};
}

template <class T>
void apply_to_entries(const T* in, const uint8_t* mask, int64_t count, T* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = entry_or_zero(in[i], mask[i] != 0);
}

inline int64_t flips_of_bytes(const uint8_t* mask, const uint8_t* other, int64_t count) {
  int64_t flips = 0;
  for (int64_t i = 0; i < count; ++i) flips += (mask[i] != 0) != (other[i] != 0);
  return flips;
}

inline void pack_bytes(const uint8_t* mask, int64_t count, uint8_t* bits) {
  for (int64_t i = 0; i < count; i += 8) {
    uint32_t byte = 0;
    for (int64_t k = 0; k < 8; ++k) byte = byte << 1 | uint32_t{mask[i + k] != 0};
    bits[i / 8] = static_cast<uint8_t>(byte);
  }
}

inline void unpack_bytes(const uint8_t* bits, int64_t count, uint8_t* mask) {
  for (int64_t i = 0; i < count; ++i) mask[i] = bits[i / 8] >> (7 - i % 8) & 1u;
}

inline int64_t flips_of_bits(const uint8_t* bits, const uint8_t* other, int64_t bytes) {
  int64_t flips = 0, i = 0;
  for (; i + 8 <= bytes; i += 8) {
    uint64_t a, b;
    std::memcpy(&a, bits + i, sizeof a);
    std::memcpy(&b, other + i, sizeof b);
    flips += __builtin_popcountll(a ^ b);
  }
  for (; i < bytes; ++i) flips += __builtin_popcount(bits[i] ^ other[i]);
  return flips;
}

template <class T>
constexpr MaskTable<T> kTable<MaskTable<T>, float> = {.magnitude = magnitude_groups<T>,
                                                      .transposable = transposable_blocks<T>,
                                                      .apply = apply_to_entries<T>};
template <>
constexpr MaskBytesTable kTable<MaskBytesTable, float> = {.flips = flips_of_bytes,
                                                          .pack = pack_bytes,
                                                          .unpack = unpack_bytes,
                                                          .bit_flips = flips_of_bits};

}  // namespace
}  // namespace twofour::kernels
