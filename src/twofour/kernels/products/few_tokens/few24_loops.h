// The inner loops of few24.h, declared once per instruction set. Those of few_dense.h have the same
// form.
//
// For few tokens (`gathers`) a vector runs along a row of A: kept values, as in memory, times
// entries of x that their positions select from registers. For more, a vector runs over tokens: a
// kept value times the column of x at its position. x is arranged once for all rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "twofour/kernels/products/few_tokens/few24.h"

namespace twofour::kernels {

constexpr int64_t kFewRows = 64;     // a thread holds their sums
constexpr int64_t kFewColumns = 64;  // x is prepared in multiples of this many columns

/// A is Packed24View<T> or DenseView<T>.
template <class T, class A = Packed24View<T>>
struct FewLoops {
  /// The size in bytes of x [tokens, columns] prepared.
  size_t (*x_bytes)(int64_t tokens, int64_t columns);
  /// Prepares columns [first, last) of x, rows `stride` apart. first is a multiple of kFewColumns;
  /// last is too, or is the end. Padding of x is 0.
  void (*load)(const T* x, int64_t tokens, int64_t columns, int64_t stride, int64_t first,
               int64_t last, std::byte* out);
  /// sums [tokens, kFewRows] = x times `rows` rows of a, from `row` on.
  void (*multiply)(const A& a, int64_t row, int64_t rows, const std::byte* x, int64_t tokens,
                   float* sums);
  /// y [rows] = sums + bias [rows] for one token; bias may be null.
  void (*finish)(float* sums, int64_t rows, const T* bias, T* y);
};

/// The loops of instruction_set().
template <class T>
const FewLoops<T>& few_loops();

template <class T>
const FewLoops<T>& few_reference();
template <class T>
const FewLoops<T>& few_avx2();
template <class T>
const FewLoops<T>& few_avx512();
template <class T>
const FewLoops<T>& few_avx512bf16();
template <class T>
const FewLoops<T>& few_amx();

}  // namespace twofour::kernels
