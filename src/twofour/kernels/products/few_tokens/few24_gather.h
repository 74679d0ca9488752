// The product with vectors along rows, in blocks of rows and tokens. Instruction sets only differ
// in the operation on a block. Everything has internal linkage.
#pragma once

#include <type_traits>

#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/products/few_tokens/few24_generic.h"

namespace twofour::kernels {
namespace {

// The number of rows to read at once. Zen 5 reads one row a third faster than four, at 45 of its 47
// GB/s; Zen 4 reads one row twice as fast. Granite Rapids reaches its full speed with four, which
// load x once.
inline int64_t rows_at_once() { return is_amd() ? 1 : 4; }

// The prefetch distance while `rows` rows are read: the next rows, and at least 8 KiB of values if
// one row is read at a time.
template <class T>
Ahead ahead_of_rows(const Packed24View<T>& a, int64_t rows) {
  constexpr int64_t kBytes = 8 << 10;
  const int64_t row_bytes = a.columns / 2 * static_cast<int64_t>(sizeof(T));
  if (rows == 1 && row_bytes > 0) rows += kBytes / row_bytes;
  return {rows * row_bytes, rows * a.position_bytes()};
}

// Calls block(r, rows, t, count) for `at_once` rows at a time and at most kMost tokens from t on;
// `count` is an integral constant. Rows stay in the first-level cache for all tokens.
template <int kMost, class Block>
void for_blocks(int64_t at_once, int64_t rows, int64_t tokens, Block&& block) {
  static_assert(kMost == 3 || kMost == 4);
  for (int64_t r = 0; r < rows; r += at_once) {
    const int64_t here = rows - r < at_once ? rows - r : at_once;
    for (int64_t t = 0; t < tokens; t += kMost) {
      const int64_t left = tokens - t;
      if (left == 1) {
        block(r, here, t, std::integral_constant<int, 1>());
      } else if (left == 2) {
        block(r, here, t, std::integral_constant<int, 2>());
      } else if (left == 3 || kMost == 3) {
        block(r, here, t, std::integral_constant<int, 3>());
      } else {
        block(r, here, t, std::integral_constant<int, kMost>());
      }
    }
  }
}

// sums [tokens, kFewRows] = `rows` rows of a times x, prepared as rows of X. block(row count, token
// count, row, x, x's stride, sums) handles one to four rows; the counts are integral constants.
template <int kMost, class X, class T, class Block>
void multiply_by_row(const Packed24View<T>& a, int64_t row, int64_t rows, const std::byte* x,
                     int64_t tokens, float* sums, Block&& block) {
  const int64_t stride = whole(a.columns, kFewColumns);
  for_blocks<kMost>(
      rows_at_once(), rows, tokens, [&](int64_t r, int64_t here, int64_t t, auto count) {
        const X* token = reinterpret_cast<const X*>(x) + t * stride;
        float* out = sums + t * kFewRows + r;
        if (here == 4) {
          return block(std::integral_constant<int, 4>(), count, row + r, token, stride, out);
        }
        for (int64_t i = 0; i < here; ++i) {
          block(std::integral_constant<int, 1>(), count, row + r + i, token, stride, out + i);
        }
      });
}

// The loops in float32. Set is an instruction set:
//   kGatherTokens    with more tokens, vectors over tokens are faster
//   kBlockTokens     tokens of a block
//   kLanes, kVectors of the vectors over tokens: see multiply_quad_of
//   block<T, kRows, kTokens>(a, row, x, x's stride, sums)
//   arrange(row of x, first, last column), into the order that a block needs
template <class Set>
struct GatherLoops {
  static size_t x_bytes(int64_t tokens, int64_t columns) {
    return tokens > Set::kGatherTokens ? x_bytes_by_column(tokens, columns)
                                       : x_bytes_by_row(tokens, columns);
  }

  template <class T>
  static void load(const T* x, int64_t tokens, int64_t columns, int64_t stride, int64_t first,
                   int64_t last, std::byte* out) {
    if (tokens > Set::kGatherTokens) {
      return load_by_column(x, tokens, columns, stride, first, last, out);
    }
    load_by_row(x, tokens, columns, stride, first, last, out);
    const int64_t padded = whole(columns, kFewColumns);
    for (int64_t t = 0; t < tokens; ++t) {
      Set::arrange(reinterpret_cast<float*>(out) + t * padded, first, last);
    }
  }

  template <class T>
  static void multiply(const Packed24View<T>& a, int64_t row, int64_t rows, const std::byte* x,
                       int64_t tokens, float* sums) {
    if (tokens > Set::kGatherTokens) {
      return multiply_by_column<T, Set::kLanes, Set::kVectors>(a, row, rows, x, tokens, sums);
    }
    multiply_by_row<Set::kBlockTokens, float>(a, row, rows, x, tokens, sums,
                                              [&](auto row_count, auto token_count, int64_t from,
                                                  const float* token, int64_t stride, float* out) {
                                                Set::template block<T, row_count, token_count>(
                                                    a, from, token, stride, out);
                                              });
  }

  template <class T>
  static constexpr FewLoops<T> kLoops = {
      .x_bytes = x_bytes, .load = load<T>, .multiply = multiply<T>, .finish = finish_any<T>};
};

}  // namespace
}  // namespace twofour::kernels
