// The bodies of rows.h, as loops that the compiler vectorises. Included by one source file an
// instruction set; everything here has internal linkage, so that no file runs another's code. The
// operations and the order of every sum are fixed: all instruction sets give the same bits.
#pragma once

#include <cmath>
#include <cstdint>

#include "twofour/kernels/decode/attend_loops.h"
#include "twofour/kernels/decode/token_rows_loops.h"
#include "twofour/kernels/forward_weight/forward_weight_loops.h"
#include "twofour/kernels/forward_weight/soft_threshold_loops.h"
#include "twofour/kernels/fp8/fp8_loops.h"
#include "twofour/kernels/group.h"
#include "twofour/kernels/mvue/mvue_loops.h"
#include "twofour/kernels/rows/exponential.h"
#include "twofour/kernels/rows/rows.h"
#include "twofour/kernels/training/adamw_loops.h"

namespace twofour::kernels {
namespace {

template <class T>
float cross_entropy_row(T* row, int64_t target, int64_t columns, const float* scale,
                        float* scratch) {
  const float top = row_maximum(row, columns);
  const float sum = exponentials(row, columns, top, scratch);
  const float nll = std::log(sum) + top - to_float(row[target]);
  if (scale) {
    const float factor = *scale / sum;
    scratch[target] -= sum;
    for (int64_t j = 0; j < columns; ++j) store(scratch[j] * factor, row[j]);
  }
  return nll;
}

template <class T>
void accumulate_entries(const T* in, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] += to_float(in[i]);
}

inline void add_scaled_rows(const float* scales, const float* const* rows, int64_t count,
                            int64_t column, int64_t columns, float* y) {
  float* __restrict out = y + column;
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {  // y comes from the first-level cache once for four
    const float a = scales[i], b = scales[i + 1], c = scales[i + 2], d = scales[i + 3];
    const float* const p = rows[i] + column;
    const float* const q = rows[i + 1] + column;
    const float* const r = rows[i + 2] + column;
    const float* const s = rows[i + 3] + column;
    for (int64_t j = 0; j < columns; ++j) {
      out[j] = (((out[j] + a * p[j]) + b * q[j]) + c * r[j]) + d * s[j];
    }
  }
  for (; i < count; ++i) {
    const float scale = scales[i];
    const float* const row = rows[i] + column;
    for (int64_t j = 0; j < columns; ++j) out[j] += scale * row[j];
  }
}

constexpr float kGeluScale = 2 * 0.7978845608f;  // 2 sqrt(2/π)
constexpr float kGeluCube = 0.044715f;

template <class T>
void gelu_entries(const T* z, int64_t count, T* out) {
  for (int64_t i = 0; i < count; ++i) {
    const float x = to_float(z[i]);
    store(x * logistic(kGeluScale * (x + kGeluCube * x * x * x)), out[i]);
  }
}

template <class T>
void gelu_gradient_entries(const T* z, const T* dy, int64_t count, T* dz) {
  for (int64_t i = 0; i < count; ++i) {
    const float x = to_float(z[i]);
    const float s = logistic(kGeluScale * (x + kGeluCube * x * x * x));
    const float slope = kGeluScale * (1.0f + 3.0f * kGeluCube * x * x), bend = s * (1.0f - s);
    // Far out the slope is infinite where the bend is 0.
    store(to_float(dy[i]) * (bend > 0.0f ? s + x * bend * slope : s), dz[i]);
  }
}

// F is what holds the same entry of the groups that are treated at once.
template <class T, class F>
constexpr RowLoops<T> kLoops = {soft_threshold_entries<T, F>,
                                soft_threshold_products<F>,
                                magnitude_entries<T, F>,
                                masked_entries<T, F>,
                                add_decay<F>,
                                frozen_entries<F>,
                                moment_change_of<F>,
                                mvue_rows<T, Mvue::kApproximate, F>,
                                mvue_rows<T, Mvue::kExact, F>,
                                mvue_block_rows<T>,
                                cross_entropy_row<T>,
                                accumulate_entries<T>,
                                add_scaled_rows,
                                gelu_entries<T>,
                                gelu_gradient_entries<T>,
                                layer_norm_row<T>,
                                rms_norm_row<T>,
                                rotate_pairs<T>,
                                silu_times_entries<T>,
                                add_entries<T>,
                                attend_rows<T>,
                                round_entries_to_float8<T, F>,
                                scale_entries_to_float8<T, F>,
                                largest_bits<T, F>};

}  // namespace
}  // namespace twofour::kernels
