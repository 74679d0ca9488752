// The bodies of packed24_loops.h that any instruction set can run: they define the result, and do
// the remainders of the faster ones. Everything has internal linkage.
#pragma once

#include <cstring>

#include "twofour/kernels/packed24_loops.h"

namespace twofour::kernels {
namespace {

// The bits that are not the sign: an entry is zero when they are.
template <class Word>
constexpr Word kMagnitude = static_cast<Word>(static_cast<Word>(~Word{0}) >> 1);

template <class Word>
bool pack_groups(const Word* weight, const uint8_t* mask, int64_t groups, Word* values,
                 uint8_t* positions) {
  uint32_t overfull = 0;
  for (int64_t g = 0; g < groups; ++g) {
    const Word* group = weight + 4 * g;
    uint32_t kept = 0;
    for (int i = 0; i < 4; ++i) {
      const bool keeps = mask ? mask[4 * g + i] != 0 : (group[i] & kMagnitude<Word>) != 0;
      kept |= uint32_t{keeps} << i;
    }
    const uint32_t position = kPackTables.position[kept];
    const uint32_t first = position & 3, second = position >> 2;
    overfull |= kPackTables.overfull[kept];
    values[2 * g] = kept >> first & 1 ? group[first] : Word{0};
    values[2 * g + 1] = kept >> second & 1 ? group[second] : Word{0};
    if (g % 2 == 0) {
      positions[g / 2] = static_cast<uint8_t>(position);
    } else {
      positions[g / 2] = static_cast<uint8_t>(positions[g / 2] | position << 4);
    }
  }
  return overfull == 0;
}

// out [columns, rows] = in [rows, columns] transposed.
template <class Word>
void transpose_entries(const Word* in, int64_t rows, int64_t columns, int64_t stride, Word* out,
                       int64_t out_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) out[c * out_stride + r] = in[r * stride + c];
  }
}

// Through a transposed copy in the first-level cache.
template <class Word, auto kPackRow, auto kTransposeWords, auto kTransposeBytes>
bool pack_tile_by_copy(const PackTile<Word>& tile, int64_t rows, int64_t groups) {
  constexpr int64_t kColumns = 4 * kPackGroups;
  alignas(64) Word weight[kPackRows<Word> * kColumns];
  alignas(64) uint8_t mask[kPackRows<Word> * kColumns];
  kTransposeWords(tile.weight, 4 * groups, rows, tile.stride, weight, kColumns);
  if (tile.mask) kTransposeBytes(tile.mask, 4 * groups, rows, tile.mask_stride, mask, kColumns);
  bool ok = true;
  for (int64_t r = 0; r < rows; ++r) {
    ok &= kPackRow(weight + r * kColumns, tile.mask ? mask + r * kColumns : nullptr, groups,
                   tile.values + r * tile.value_stride, tile.positions + r * tile.position_stride);
  }
  return ok;
}

}  // namespace
}  // namespace twofour::kernels
