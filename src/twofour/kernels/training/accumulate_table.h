// The loop that adds to float32, vectorised by the compiler.
#pragma once

#include <cstdint>

#include "twofour/kernels/rows/table.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

template <class T>
struct AccumulateTable {
  /// out += in for `count` entries.
  void (*accumulate)(const T* in, float* out, int64_t count);
};

namespace {

template <class T>
void accumulate_entries(const T* in, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] += to_float(in[i]);
}

template <class T, class F>
constexpr AccumulateTable<T> kTable<AccumulateTable<T>, F> = {.accumulate = accumulate_entries<T>};

}  // namespace
}  // namespace twofour::kernels
