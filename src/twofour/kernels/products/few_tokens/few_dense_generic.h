// Bodies of few_dense_loops.h for every instruction set. Everything has internal linkage.
#pragma once

#include <algorithm>
#include <type_traits>

#include "twofour/kernels/products/few_tokens/few24_gather.h"
#include "twofour/kernels/products/few_tokens/few_dense_loops.h"

namespace twofour::kernels {
namespace {

// Prefetches every other line of `bytes`, 4 KiB ahead, to the second-level cache. Hardware follows
// a single row, but not into the next page. Prefetching to the first level is slower.
inline void prefetch_later(const void* at, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 128) {
    __builtin_prefetch(static_cast<const char*>(at) + 4096 + i, /*write=*/0, /*locality=*/2);
  }
}

// kRows rows from `row` on times kTokens tokens: sums [kTokens, kFewRows]. Set is an instruction
// set's arithmetic on T:
//   X                      the type of prepared x
//   kStep, kUnrolled       entries of a vector; vectors of a row per loop iteration
//   kBlockTokens           tokens whose sums with four rows stay in registers
//   weights(at)            kStep entries of a row
//   first_weights(at, n)   the first n of them, the others 0
//   entries(x)             kStep entries of a token
//   Sum, add(sum, weights, entries), totals(sums of kRows rows, out)
template <class Set, class T, int kRows, int kTokens>
void multiply_dense_block(const DenseView<T>& a, int64_t row, const typename Set::X* x,
                          int64_t x_stride, float* sums) {
  constexpr int kSums = kRows * kTokens >= 4 ? 1 : 4 / (kRows * kTokens);  // hide an add's latency
  constexpr int64_t kStep = Set::kStep;
  typename Set::Sum sum[kSums][kRows][kTokens] = {};
  const T* const rows = a.row(row);
  const auto add = [&](int r, int s, const auto& weights, int64_t k) {
    for (int t = 0; t < kTokens; ++t) {
      Set::add(sum[s][r][t], weights, Set::entries(x + t * x_stride + k));
    }
  };
  int64_t k = 0;
  // While a whole number of kSteps steps remains.
  const auto add_steps = [&](auto steps) {
    constexpr int kSteps = steps;
    for (; k + kSteps * kStep <= a.columns; k += kSteps * kStep) {
      for (int r = 0; r < kRows; ++r) {
        const T* at = rows + r * a.stride + k;
        prefetch_later(at, kSteps * kStep * static_cast<int64_t>(sizeof(T)));
#pragma GCC unroll 32
        for (int i = 0; i < kSteps; ++i) {
          add(r, i % kSums, Set::weights(at + i * kStep), k + i * kStep);
        }
      }
    }
  };
  // A short loop ends with a mispredicted branch, which discards the work in flight.
  constexpr int kMost = std::max(1, Set::kUnrolled / (kRows * kTokens));
  add_steps(std::integral_constant<int, kMost>());
  add_steps(std::integral_constant<int, kSums>());
  add_steps(std::integral_constant<int, 1>());
  if (k < a.columns) {
    for (int r = 0; r < kRows; ++r) {
      add(r, 0, Set::first_weights(rows + r * a.stride + k, a.columns - k), k);
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    typename Set::Sum of_rows[kRows];
    for (int r = 0; r < kRows; ++r) {
      of_rows[r] = sum[0][r][t];
      for (int s = 1; s < kSums; ++s) of_rows[r] += sum[s][r][t];
    }
    Set::totals(of_rows, sums + t * kFewRows);
  }
}

// Rows are read one at a time, as a single stream, which any hardware follows. Four short ones
// together are also a single stream, and adding the lanes of four costs little more than of one.
template <class T>
int64_t rows_at_once_of(const DenseView<T>& a) {
  constexpr int64_t kShort = 1 << 10;  // bytes
  return a.stride * static_cast<int64_t>(sizeof(T)) <= kShort ? 4 : 1;
}

template <class Set, class T>
void multiply_dense(const DenseView<T>& a, int64_t row, int64_t rows, const std::byte* x,
                    int64_t tokens, float* sums) {
  using X = typename Set::X;
  const int64_t stride = whole(a.columns, kFewColumns);
  for_blocks<Set::kBlockTokens>(
      rows_at_once_of(a), rows, tokens, [&](int64_t r, int64_t here, int64_t t, auto count) {
        const X* token = reinterpret_cast<const X*>(x) + t * stride;
        float* out = sums + t * kFewRows + r;
        if (here == 4)
          return multiply_dense_block<Set, T, 4, count>(a, row + r, token, stride, out);
        for (int64_t i = 0; i < here; ++i) {
          multiply_dense_block<Set, T, 1, count>(a, row + r + i, token, stride, out + i);
        }
      });
}

// For float32 x.
template <class Set, class T>
constexpr DenseLoops<T> kDenseLoops = {.x_bytes = x_bytes_by_row,
                                       .load = load_by_row<T>,
                                       .multiply = multiply_dense<Set, T>,
                                       .finish = finish_any<T>};

}  // namespace
}  // namespace twofour::kernels
