// Attention of the newest tokens of some sequences over their caches; reads keys and values once. H
// query heads; G key-value heads, each for H / G query heads (Ainslie et al., arXiv 2305.13245);
// head width d.
#pragma once

#include <cstdint>
#include <span>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

struct AttendShape {
  int64_t heads = 1, key_value_heads = 1, width = 1;  ///< H, G, d
  int64_t capacity = 0;                               ///< tokens per head in memory
};

template <class T>
struct AttendRow {
  const T* queries = nullptr;  ///< [H, d]
  const T* keys = nullptr;     ///< [G, capacity, d]
  const T* values = nullptr;   ///< [G, capacity, d]
  int64_t tokens = 0;          ///< the query sees this many first tokens of the cache; at least 1
  T* out = nullptr;            ///< [H, d]; must not be the queries
};

/// out = softmax(queries · keysᵀ / sqrt(d)) · values of every row. Sums are in float32; for 16-bit
/// types softmax terms are rounded to T before their product with values, like in ATen's attention.
/// Uses one parallel region over rows and heads where it pays. The bits are independent of the
/// number of threads and the instruction set.
template <class T>
void attend(std::span<const AttendRow<T>> rows, const AttendShape& shape);

/// Number of scratch floats for the loops of attend_table.h.
constexpr int64_t attend_scratch(int64_t queries, int64_t tokens, int64_t width) {
  return queries * (2 * width + tokens);
}

}  // namespace twofour::kernels
