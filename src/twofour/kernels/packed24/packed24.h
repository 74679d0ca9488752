// The storage format of a 2:4 sparse matrix: the kept values and where they stood. 36 bits for four
// 16-bit weights where dense needs 64, 68 for four float32 where dense needs 128.
//
// Packing runs at the speed of memory, so that it can be redone after every optimiser step. Every
// instruction set gives the same bits.
#pragma once

#include <cstdint>

#include "twofour/kernels/buffer.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// A matrix [rows, columns] with two entries kept of every four consecutive ones of a row, in
/// memory that others own.
///   values     [rows, columns / 2]: the two kept entries of each group, in order.
///   positions  [rows, position_bytes()]: four bits a group, first | second << 2, the even group in
///              the lower half of its byte. Always first < second, so that zeros have a place too.
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

/// The same with its own memory, both arrays aligned to 64 bytes.
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

/// The four bits of a group for each set of kept entries (bit i = entry i): a set of fewer than two
/// is filled up, one of more than two gives 0.
uint32_t position_of(uint32_t kept);

/// Packs weight [rows, columns], rows `stride` entries apart. With `mask` [rows, columns]
/// (contiguous, not 0 = kept) the entries that it keeps, without the entries that are not zero (-0
/// is zero, NaN is not). Where fewer than two of a group are kept, the place that fills it up holds
/// 0. Throws Error when columns is no multiple of 4, or when a group keeps more than two: the
/// message names the row and column of the first.
template <class T>
Packed24<T> pack24(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                   const uint8_t* mask = nullptr);

/// The same into `packed`, whose memory is used again if it is large enough. After an error its
/// content is undefined.
template <class T>
void pack24_into(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                 const uint8_t* mask, Packed24<T>& packed);

/// The same into values [rows, columns / 2] and positions [rows, (columns + 7) / 8].
template <class T>
void pack24_into(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                 const uint8_t* mask, T* values, uint8_t* positions);

/// Throws Error as pack24 does where weight [rows, columns], rows `stride` entries apart, is not
/// 2:4 along its rows. Reads every entry once.
template <class T>
void check24(const T* weight, int64_t rows, int64_t columns, int64_t stride);

/// The dense matrix again, zeros included, into weight [rows, columns], rows `stride` apart.
template <class T>
void unpack24(const Packed24View<T>& packed, T* weight, int64_t stride);

template <class T>
void unpack24(const Packed24<T>& packed, T* weight, int64_t stride) {
  unpack24(packed.view(), weight, stride);
}

}  // namespace twofour::kernels
