// Attention of the newest tokens of some sequences over their caches: reads the keys and the values
// once. H query heads, G heads of keys and values, of which each serves H / G queries (Ainslie et
// al., arXiv 2305.13245), d width of a head.
#pragma once

#include <cstdint>
#include <span>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

struct AttendShape {
  int64_t heads = 1, key_value_heads = 1, width = 1;  ///< H, G, d
  int64_t capacity = 0;                               ///< tokens from one head's keys to the next's
};

template <class T>
struct AttendRow {
  const T* queries = nullptr;  ///< [H, d]
  const T* keys = nullptr;     ///< [G, capacity, d]
  const T* values = nullptr;   ///< [G, capacity, d]
  int64_t tokens = 0;          ///< the first tokens of the cache, which the query sees; at least 1
  T* out = nullptr;            ///< [H, d]; not the queries
};

/// out = softmax(queries · keysᵀ / sqrt(d)) · values of every row. Sums in float32; of 16-bit types
/// the terms of the softmax are rounded to T before they meet the values, as ATen's attention does.
/// One parallel region over rows and heads where that pays; the same bits for any number of threads
/// and on every instruction set.
template <class T>
void attend(std::span<const AttendRow<T>> rows, const AttendShape& shape);

/// Floats that the loops of attend_table.h need beside their arguments.
constexpr int64_t attend_scratch(int64_t queries, int64_t tokens, int64_t width) {
  return queries * (2 * width + tokens);
}

}  // namespace twofour::kernels
