// The loops of mask.h on vectors, for F = Floats8 or Floats16. Included by one source file per
// instruction set; mask_table.h handles the remainder of a row.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include <immintrin.h>

#include "twofour/kernels/masks/mask_table.h"
#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {
namespace {

// Lane i of the result is lane i + k, modulo M, of its group of M lanes.
template <int M, int k, class V, size_t... I>
V rotated(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, (I / M * M + (I % M + k) % M)...);
}

// 1 if lane i + k of the group does not wrap around and so is the later one.
template <int M, int k, class V, size_t... I>
constexpr V later_lanes(std::index_sequence<I...>) {
  return V{(I % M + k < M)...};
}

// The number of larger magnitudes in the group; of equals the later is larger.
template <int M, class V, size_t... K>
V count_larger(V size, std::index_sequence<K...>) {
  constexpr auto kLanes = std::make_index_sequence<sizeof(V) / sizeof(size[0])>();
  V count = {};
  const auto add = [&](V other, V later) { count = other > size - later ? count + 1 : count; };
  (add(rotated<M, K + 1>(size, kLanes), later_lanes<M, K + 1, V>(kLanes)), ...);
  return count;
}

template <class F, int M, class T>
void magnitude_of_groups(const T* row, int64_t columns, int kept, uint8_t* mask) {
  using Entry = std::conditional_t<sizeof(T) == 4, int32_t, int16_t>;
  using V = VectorOf<F, Entry>;
  constexpr int64_t kWidth = sizeof(V) / sizeof(T);
  const V limit = V{} + static_cast<Entry>(kept);
  const V sign = V{} + static_cast<Entry>(Entry{1} << (8 * sizeof(T) - 1));
  int64_t i = 0;
  for (; i + kWidth <= columns; i += kWidth) {
    V size;
    std::memcpy(&size, row + i, sizeof size);
    prefetch_ahead(row + i);
    const V larger = count_larger<M>(size & ~sign, std::make_index_sequence<M - 1>());
    const V stays = larger < limit ? V{} + 1 : V{};
    store_bytes(stays, mask + i);
  }
  magnitude_groups(row + i, columns - i, kept, M, mask + i);
}

template <class T, class F>
void magnitude_vectors(const T* row, int64_t columns, int kept, int group, uint8_t* mask) {
  switch (group) {
    case 2:
      return magnitude_of_groups<F, 2>(row, columns, kept, mask);
    case 4:
      return magnitude_of_groups<F, 4>(row, columns, kept, mask);
    case 8:
      return magnitude_of_groups<F, 8>(row, columns, kept, mask);
    default:
      magnitude_groups(row, columns, kept, group, mask);
  }
}

// The even or odd lanes of a and b.
template <int kOdd, class V, size_t... I>
V every_second(V a, V b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (2 * I + kOdd)...);
}

// Column c of one vector F of 4-column blocks, into column[c].
template <class F, class T>
void load_columns(const T* x, F (&column)[4]) {
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  constexpr auto kLanes = std::make_index_sequence<kWidth>();
  F part[4];
  for (int i = 0; i < 4; ++i) part[i] = load_lanes<F>(x + i * kWidth);
  const F even0 = every_second<0>(part[0], part[1], kLanes);
  const F even1 = every_second<0>(part[2], part[3], kLanes);
  const F odd0 = every_second<1>(part[0], part[1], kLanes);
  const F odd1 = every_second<1>(part[2], part[3], kLanes);
  column[0] = every_second<0>(even0, even1, kLanes);
  column[2] = every_second<1>(even0, even1, kLanes);
  column[1] = every_second<0>(odd0, odd1, kLanes);
  column[3] = every_second<1>(odd0, odd1, kLanes);
}

template <class T, class F>
void transposable_vectors(const T* rows, int64_t columns, int64_t stride, uint8_t* mask) {
  constexpr int64_t kColumns = sizeof(F);
  int64_t i = 0;
  for (; i + kColumns <= columns; i += kColumns) {
    F block[4][4];
    prefetch_columns_ahead<kColumns>(rows + i, 4, stride);
    for (int64_t r = 0; r < 4; ++r) load_columns(rows + r * stride + i, block[r]);
    const WordsOf<F> kept = transposable_pattern(block);
    for (int64_t r = 0; r < 4; ++r) {
      // Puts each of four bits into its own byte.
      const WordsOf<F> bytes = (kept >> (4 * r) & 15u) * 0x204081u & 0x01010101u;
      std::memcpy(mask + r * columns + i, &bytes, sizeof bytes);
    }
  }
  if (i == columns) return;
  T padded[4 * kColumns] = {};
  uint8_t rest[4 * kColumns];
  const int64_t left = columns - i;
  for (int64_t r = 0; r < 4; ++r) {
    std::memcpy(padded + r * kColumns, rows + r * stride + i,
                static_cast<size_t>(left) * sizeof(T));
  }
  transposable_vectors<T, F>(padded, kColumns, kColumns, rest);
  for (int64_t r = 0; r < 4; ++r) {
    std::memcpy(mask + r * columns + i, rest + r * kColumns, static_cast<size_t>(left));
  }
}

template <class F>
int64_t flips_of_vectors(const uint8_t* mask, const uint8_t* other, int64_t count) {
  using Bytes = VectorOf<F, uint8_t>;
  constexpr int64_t kWidth = sizeof(Bytes), kSums = 255;  // the maximum count in a byte
  int64_t flips = 0, i = 0;
  while (i + kWidth <= count) {
    const int64_t end = count - i < kSums * kWidth ? count : i + kSums * kWidth;
    Bytes sum = {}, a, b;
    for (; i + kWidth <= end; i += kWidth) {
      std::memcpy(&a, mask + i, sizeof a);
      std::memcpy(&b, other + i, sizeof b);
      a = a < 1 ? a : Bytes{} + 1;
      b = b < 1 ? b : Bytes{} + 1;
      sum += a ^ b;
    }
    for (int64_t k = 0; k < kWidth; ++k) flips += sum[k];
  }
  return flips + flips_of_bytes(mask + i, other + i, count - i);
}

inline void pack_vectors(const uint8_t* mask, int64_t count, uint8_t* bits) {
  // The bytes of each eight are reversed: the first entry is the most significant bit.
  const __m256i reversed = _mm256_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7,  //
                                           8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(mask + i));
    const __m256i zero = _mm256_cmpeq_epi8(bytes, _mm256_setzero_si256());
    const int word = ~_mm256_movemask_epi8(_mm256_shuffle_epi8(zero, reversed));
    std::memcpy(bits + i / 8, &word, sizeof word);
  }
  pack_bytes(mask + i, count - i, bits + i / 8);
}

// Lane i of the result is byte i / 8 of each lane of 8 bytes.
template <class V, size_t... I>
V spread(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, (I / 16 * 16 + I / 8)...);
}

template <class V, size_t... I>
constexpr V bit_of_lane(std::index_sequence<I...>) {
  return V{static_cast<uint8_t>(0x80u >> I % 8)...};
}

template <class F>
void unpack_vectors(const uint8_t* bits, int64_t count, uint8_t* mask) {
  using Bytes = VectorOf<F, uint8_t>;
  using Longs = VectorOf<F, uint64_t>;
  constexpr int64_t kWidth = sizeof(Bytes);
  constexpr auto kLanes = std::make_index_sequence<sizeof(Bytes)>();
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    uint64_t word = 0;
    std::memcpy(&word, bits + i / 8, sizeof(Bytes) / 8);
    const Bytes copies = reinterpret_cast<Bytes>(Longs{} + word);
    const Bytes bit = spread(copies, kLanes) & bit_of_lane<Bytes>(kLanes);
    const Bytes kept = bit < 1 ? bit : Bytes{} + 1;
    std::memcpy(mask + i, &kept, sizeof kept);
  }
  unpack_bytes(bits + i / 8, count - i, mask + i);
}

template <class T, class F>
constexpr MaskTable<T> kTable<MaskTable<T>, F> = {.magnitude = magnitude_vectors<T, F>,
                                                  .transposable = transposable_vectors<T, F>,
                                                  .apply = apply_to_entries<T>};
template <class F>
constexpr MaskBytesTable kTable<MaskBytesTable, F> = {.flips = flips_of_vectors<F>,
                                                      .pack = pack_vectors,
                                                      .unpack = unpack_vectors<F>,
                                                      .bit_flips = flips_of_bits};

}  // namespace
}  // namespace twofour::kernels
