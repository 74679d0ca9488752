// Vectors of numbers of several groups, as the vector types that g++ and clang share. Group
// arithmetic is a template over `float` and these, so it is written once: comparisons give bool or
// lanes of 0 and -1, and `mask ? a : b` selects. The wide types only exist in files of their
// instruction set.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

template <class F>
struct LanesOf;

template <>
struct LanesOf<float> {
  using Words = uint32_t;
};

template <class F>
using WordsOf = typename LanesOf<F>::Words;
template <class F>
using MaskOf = decltype(F{} < F{});

#if defined(__AVX2__)
typedef float Floats8 __attribute__((vector_size(32)));
typedef uint32_t Words8 __attribute__((vector_size(32)));

template <>
struct LanesOf<Floats8> {
  using Words = Words8;
};

TWOFOUR_HOST_DEVICE Words8 bits_of(Floats8 value) { return reinterpret_cast<Words8>(value); }
TWOFOUR_HOST_DEVICE Floats8 float_from_bits(Words8 bits) { return reinterpret_cast<Floats8>(bits); }
#endif

#if defined(__AVX512F__)
typedef float Floats16 __attribute__((vector_size(64)));
typedef uint32_t Words16 __attribute__((vector_size(64)));

template <>
struct LanesOf<Floats16> {
  using Words = Words16;
};

TWOFOUR_HOST_DEVICE Words16 bits_of(Floats16 value) { return reinterpret_cast<Words16>(value); }
TWOFOUR_HOST_DEVICE Floats16 float_from_bits(Words16 bits) {
  return reinterpret_cast<Floats16>(bits);
}
#endif

}  // namespace twofour::kernels
