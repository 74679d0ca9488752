// The inner loops of mask.h, one declaration an instruction set; the definition is in mask_loops.h,
// the wide versions in mask_vectors.h. All sets give the same bytes.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

template <class T>
struct MaskLoops {
  /// One row of `columns` entries, a multiple of `group`.
  void (*magnitude)(const T* row, int64_t columns, int kept, int group, uint8_t* mask);
  /// Four rows of `columns` entries, a multiple of 4, `stride` apart; of the mask `columns` apart.
  void (*transposable)(const T* rows, int64_t columns, int64_t stride, uint8_t* mask);
  void (*apply)(const T* in, const uint8_t* mask, int64_t count, T* out);
};

/// Loops on the bytes and bits of masks. `pack` and `unpack` take a multiple of 8 entries.
struct MaskByteLoops {
  int64_t (*flips)(const uint8_t* mask, const uint8_t* other, int64_t count);
  void (*pack)(const uint8_t* mask, int64_t count, uint8_t* bits);
  void (*unpack)(const uint8_t* bits, int64_t count, uint8_t* mask);
  int64_t (*bit_flips)(const uint8_t* bits, const uint8_t* other, int64_t bytes);
};

template <class T>
const MaskLoops<T>& reference_mask_loops();
template <class T>
const MaskLoops<T>& avx2_mask_loops();
template <class T>
const MaskLoops<T>& avx512_mask_loops();

const MaskByteLoops& reference_mask_byte_loops();
const MaskByteLoops& avx2_mask_byte_loops();
const MaskByteLoops& avx512_mask_byte_loops();

}  // namespace twofour::kernels
