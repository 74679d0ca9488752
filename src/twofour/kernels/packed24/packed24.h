// The storage format of a 2:4 sparse matrix: kept values and their positions. Four 16-bit weights
// take 36 bits instead of 64, four float32 68 instead of 128.
//
// Packing runs at memory speed, so it can be repeated after every optimiser step. The bits are
// independent of the instruction set.
#pragma once

#include <cstdint>

#include "twofour/kernels/buffer.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// A matrix [rows, columns] with two entries kept of every four consecutive ones of a row, in
/// memory owned by others.
///   values     [rows, columns / 2]: the two kept entries of each group, in order.
///   positions  [rows, position_bytes()]: four bits a group, first | second << 2, the even group in
///              the lower half of its byte. Always first < second, so zeros have a position too.
template <class T>
struct Packed24View {
  int64_t rows = 0, columns = 0;
  const T* values = nullptr;
  const uint8_t* positions = nullptr;

  int64_t groups() const { return columns / 4; }
  int64_t position_bytes() const { return (columns + 7) / 8; }
  const T* row_values(int64_t r) const { return values + r * (columns / 2); }
  const uint8_t* row_positions(int64_t r) const { return positions + r * position_bytes(); }
};

/// The same in its own memory; both arrays are aligned to 64 bytes.
template <class T>
struct Packed24 {
  int64_t rows = 0, columns = 0;
  Buffer<T> values;
  Buffer<uint8_t> positions;

  int64_t groups() const { return columns / 4; }
  int64_t position_bytes() const { return (columns + 7) / 8; }
  /// The four bits of group g of row r.
  uint32_t position(int64_t r, int64_t g) const {
    return positions[static_cast<size_t>(r * position_bytes() + g / 2)] >> (g % 2 * 4) & 15u;
  }
  Packed24View<T> view() const { return {rows, columns, values.data(), positions.data()}; }
  operator Packed24View<T>() const { return view(); }
};

/// The four bits of a group for each set of kept entries (bit i = entry i). Sets of fewer than two
/// are padded; those of more than two give 0.
uint32_t position_of(uint32_t kept);

/// Packs weight [rows, columns], rows `stride` entries apart. With `mask` [rows, columns]
/// (contiguous, not 0 = kept) keeps the entries of the mask, otherwise the nonzero ones (-0 is
/// zero, NaN is not). If a group keeps fewer than two, the padding entry is 0. Throws Error if
/// columns is not a multiple of 4 or a group keeps more than two; the message has the row and
/// column of the first.
template <class T>
Packed24<T> pack24(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                   const uint8_t* mask = nullptr);

/// The same into `packed`; reuses its memory if it is large enough. After an error its content is
/// undefined.
template <class T>
void pack24_into(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                 const uint8_t* mask, Packed24<T>& packed);

/// The same into values [rows, columns / 2] and positions [rows, (columns + 7) / 8].
template <class T>
void pack24_into(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                 const uint8_t* mask, T* values, uint8_t* positions);

/// Throws Error like pack24 if weight [rows, columns], rows `stride` entries apart, is not 2:4
/// along its rows. Reads every entry once.
template <class T>
void check24(const T* weight, int64_t rows, int64_t columns, int64_t stride);

/// Restores the dense matrix, with zeros, in weight [rows, columns], rows `stride` apart.
template <class T>
void unpack24(const Packed24View<T>& packed, T* weight, int64_t stride);

template <class T>
void unpack24(const Packed24<T>& packed, T* weight, int64_t stride) {
  unpack24(packed.view(), weight, stride);
}

}  // namespace twofour::kernels
