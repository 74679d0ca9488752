// The storage format of a 2:4 sparse matrix: the kept values and where they stood. 36 bits for four
// bfloat16 weights where dense needs 64.
#pragma once

#include <cstdint>
#include <vector>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// A matrix [rows, columns] with two entries kept of every four consecutive ones of a row.
///   values     [rows, columns / 2]: the two kept entries of each group, in order.
///   positions  [rows, position_bytes()]: four bits a group, first | second << 2, the even group in
///              the lower half of its byte. Always first < second, so that zeros have a place too.
template <class T>
struct Packed24 {
  int64_t rows = 0, columns = 0;
  std::vector<T> values;
  std::vector<uint8_t> positions;

  int64_t groups() const { return columns / 4; }
  int64_t position_bytes() const { return (columns + 7) / 8; }
  /// The four bits of group g of row r.
  uint32_t position(int64_t r, int64_t g) const {
    return positions[static_cast<size_t>(r * position_bytes() + g / 2)] >> (g % 2 * 4) & 15u;
  }
};

/// The four bits of a group for each set of kept entries (bit i = entry i): a set of fewer than two
/// is filled up, one of more than two gives 0.
uint32_t position_of(uint32_t kept);

/// Packs weight [rows, columns], rows `stride` entries apart, by its entries that are not zero.
/// Throws Error when columns is no multiple of 4, or when a group has more than two such entries:
/// the message names the row and column of the first.
template <class T>
Packed24<T> pack24(const T* weight, int64_t rows, int64_t columns, int64_t stride);

/// Packs what `mask` [rows, columns] (1 = kept, contiguous) keeps; throws as above.
template <class T>
Packed24<T> pack24(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                   const uint8_t* mask);

/// The dense matrix again, zeros included.
template <class T>
void unpack24(const Packed24<T>& packed, T* weight, int64_t stride);

}  // namespace twofour::kernels
