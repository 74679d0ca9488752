// The bodies of packed24_loops.h for any instruction set. They define the result and handle the
// remainders of the faster ones. Everything has internal linkage.
#pragma once

#include <cstring>
#include <utility>

#include "twofour/kernels/packed24/packed24_loops.h"

namespace twofour::kernels {
namespace {

// All bits but the sign: an entry is zero if they are.
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

// Words of 64 bits, in vectors of this instruction set.
#if defined(__AVX512F__)
constexpr size_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr size_t kVectorBytes = 32;
#else
constexpr size_t kVectorBytes = 16;
#endif
typedef uint64_t WordVector __attribute__((vector_size(kVectorBytes)));

template <size_t... I>
WordVector neighbours(WordVector words, std::index_sequence<I...>) {
  return __builtin_shufflevector(words, words, (I ^ 1)...);
}

// Bit 2 of each group (a word of 16-bit entries, two of 32-bit ones): more than two entries are
// nonzero. Adding the largest magnitude to a nonzero entry's magnitude carries into its sign.
template <class Word>
WordVector overfull_groups(WordVector words) {
  constexpr uint64_t kOnes = sizeof(Word) == 2 ? 0x0001000100010001u : 0x0000000100000001u;
  constexpr uint64_t kLargest = kOnes * kMagnitude<Word>;
  WordVector count = (((words & kLargest) + kLargest) >> (8 * sizeof(Word) - 1)) & kOnes;
  if constexpr (sizeof(Word) == 4) {
    count += neighbours(count, std::make_index_sequence<kVectorBytes / sizeof(uint64_t)>());
  }
  count += count >> 32;
  if constexpr (sizeof(Word) == 2) count += count >> 16;
  return (count & 7) + 1;
}

template <class Word>
bool check_groups(const Word* weight, int64_t groups) {
  constexpr int64_t kEntries = kVectorBytes / sizeof(Word);
  WordVector overfull = {}, words = {}, rest = {};
  int64_t i = 0;
  for (; i + kEntries <= 4 * groups; i += kEntries) {
    std::memcpy(&words, weight + i, sizeof words);
    overfull |= overfull_groups<Word>(words);
  }
  std::memcpy(&rest, weight + i, static_cast<size_t>(4 * groups - i) * sizeof(Word));
  overfull |= overfull_groups<Word>(rest);
  uint64_t any = 0;
  for (size_t k = 0; k < kVectorBytes / sizeof any; ++k) any |= overfull[k];
  return (any & 4) == 0;
}

}  // namespace
}  // namespace twofour::kernels
