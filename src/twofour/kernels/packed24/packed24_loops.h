// The inner loops of packed24.h, declared once per instruction set, on the bits of the entries.
// Word is uint16_t for bfloat16 and float16, uint32_t for float. packed24_generic.h has the plain
// bodies.
#pragma once

#include <cstdint>

namespace twofour::kernels {

template <class Word>
struct PackLoops {
  /// Packs `groups` groups of a row; false if one keeps more than two. mask may be null.
  bool (*row)(const Word* weight, const uint8_t* mask, int64_t groups, Word* values,
              uint8_t* positions);
  /// Whether no group of the `groups` groups of a row keeps more than two.
  bool (*check)(const Word* weight, int64_t groups);
};

template <class Word>
const PackLoops<Word>& pack_reference();
template <class Word>
const PackLoops<Word>& pack_avx2();
template <class Word>
const PackLoops<Word>& pack_avx512();
/// AVX-512 with VBMI2, which compresses 16-bit entries in one instruction.
template <class Word>
const PackLoops<Word>& pack_vbmi2();

/// The two entries stored for a group with the kept set `kept`, as a set: `kept` itself if it has
/// two, padded if fewer, the first two if more.
constexpr uint32_t filled_set(uint32_t kept) {
  uint32_t set = 0, count = 0;
  for (uint32_t i = 0; i < 4 && count < 2; ++i) {
    if (kept >> i & 1) set |= 1u << i, ++count;
  }
  if (count == 0) return 3;
  // A single entry is paired with the next one, the last with the one before it.
  if (count == 1) return set == 8 ? 12 : set | set << 1;
  return set;
}

constexpr bool is_overfull(uint32_t kept) {
  return (kept & 1) + (kept >> 1 & 1) + (kept >> 2 & 1) + (kept >> 3 & 1) > 2;
}

/// first | second << 2 for a set of two.
constexpr uint32_t position_of_set(uint32_t set) {
  const uint32_t first = set & 1 ? 0 : set & 2 ? 1 : 2;
  const uint32_t second = set & 8 ? 3 : set & 4 ? 2 : 1;
  return first | second << 2;
}

/// One byte per kept set of a group; overfull: 1 if more than two are kept.
struct PackTables {
  uint8_t filled[16], position[16], overfull[16];
};

constexpr PackTables make_pack_tables() {
  PackTables tables{};
  for (uint32_t kept = 0; kept < 16; ++kept) {
    tables.filled[kept] = static_cast<uint8_t>(filled_set(kept));
    tables.overfull[kept] = is_overfull(kept);
    tables.position[kept] =
        static_cast<uint8_t>(is_overfull(kept) ? 0 : position_of_set(filled_set(kept)));
  }
  return tables;
}

constexpr PackTables kPackTables = make_pack_tables();

}  // namespace twofour::kernels
