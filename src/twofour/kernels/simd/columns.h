// Matrices with few columns in vectors: consecutive entries in memory, one vector for each column
// in registers. Included by one source file per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {
namespace {

template <class F>
constexpr int64_t kLanesOf = sizeof(F) / sizeof(float);

// Lane i of the result is lane Index::at(i) of a and b, one after the other.
template <class Index, class F, size_t... I>
F shuffled(F a, F b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, Index::at(I)...);
}
template <class Index, class F>
F shuffled(F a, F b) {
  return shuffled<Index>(a, b, std::make_index_sequence<sizeof(F) / sizeof(float)>());
}

template <size_t kFirst>
struct EverySecond {
  static constexpr size_t at(size_t i) { return 2 * i + kFirst; }
};
// Half kHalf of the alternating entries of two vectors.
template <size_t kWidth, size_t kHalf>
struct Alternating {
  static constexpr size_t at(size_t i) { return i % 2 * kWidth + kHalf * kWidth / 2 + i / 2; }
};
// Column kColumn of three: first of two vectors, whose entries at the end wait for the third.
template <size_t kWidth, size_t kColumn>
struct ThirdOfTwo {
  static constexpr size_t at(size_t i) { return (3 * i + kColumn) % (2 * kWidth); }
};
template <size_t kWidth, size_t kColumn>
struct ThirdOfThree {
  static constexpr size_t at(size_t i) {
    const size_t from = 3 * i + kColumn;
    return from < 2 * kWidth ? i : from - kWidth;
  }
};
// Vector kVector of a matrix of three columns, first of two columns.
template <size_t kWidth, size_t kVector>
struct TwoOfThree {
  static constexpr size_t at(size_t i) {
    const size_t from = kVector * kWidth + i;
    return from % 3 * kWidth % (2 * kWidth) + from / 3;
  }
};
template <size_t kWidth, size_t kVector>
struct AllOfThree {
  static constexpr size_t at(size_t i) {
    const size_t from = kVector * kWidth + i;
    return from % 3 < 2 ? i : kWidth + from / 3;
  }
};

template <size_t kColumn, class F>
F third_column(const F (&v)[3]) {
  constexpr size_t kWidth = kLanesOf<F>;
  return shuffled<ThirdOfThree<kWidth, kColumn>>(shuffled<ThirdOfTwo<kWidth, kColumn>>(v[0], v[1]),
                                                 v[2]);
}
template <size_t kVector, class F>
F vector_of_three(const F (&v)[3]) {
  constexpr size_t kWidth = kLanesOf<F>;
  return shuffled<AllOfThree<kWidth, kVector>>(shuffled<TwoOfThree<kWidth, kVector>>(v[0], v[1]),
                                               v[2]);
}

// From consecutive entries to columns. The number of columns is a product of twos and threes.
template <class F, size_t kColumns>
void split_columns(F (&v)[kColumns]) {
  static_assert(kColumns == 1 || kColumns == 3 || kColumns % 2 == 0);
  if constexpr (sizeof(F) == sizeof(float) || kColumns == 1) {
    return;
  } else if constexpr (kColumns == 3) {
    const F columns[3] = {third_column<0>(v), third_column<1>(v), third_column<2>(v)};
    for (size_t k = 0; k < 3; ++k) v[k] = columns[k];
  } else {
    F even[kColumns / 2], odd[kColumns / 2];
    for (size_t k = 0; k < kColumns / 2; ++k) {
      even[k] = shuffled<EverySecond<0>>(v[2 * k], v[2 * k + 1]);
      odd[k] = shuffled<EverySecond<1>>(v[2 * k], v[2 * k + 1]);
    }
    split_columns(even);
    split_columns(odd);
    for (size_t k = 0; k < kColumns / 2; ++k) {
      v[2 * k] = even[k];
      v[2 * k + 1] = odd[k];
    }
  }
}

// The inverse.
template <class F, size_t kColumns>
void join_columns(F (&v)[kColumns]) {
  if constexpr (sizeof(F) == sizeof(float) || kColumns == 1) {
    return;
  } else if constexpr (kColumns == 3) {
    const F all[3] = {vector_of_three<0>(v), vector_of_three<1>(v), vector_of_three<2>(v)};
    for (size_t k = 0; k < 3; ++k) v[k] = all[k];
  } else {
    constexpr size_t kWidth = kLanesOf<F>;
    F even[kColumns / 2], odd[kColumns / 2];
    for (size_t k = 0; k < kColumns / 2; ++k) {
      even[k] = v[2 * k];
      odd[k] = v[2 * k + 1];
    }
    join_columns(even);
    join_columns(odd);
    for (size_t k = 0; k < kColumns / 2; ++k) {
      v[2 * k] = shuffled<Alternating<kWidth, 0>>(even[k], odd[k]);
      v[2 * k + 1] = shuffled<Alternating<kWidth, 1>>(even[k], odd[k]);
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
