// The inner loops of the row-wise kernels, one declaration an instruction set. The bodies stand
// once, in rows_loops.h; rows_reference.cc, rows_avx2.cc and rows_avx512.cc compile them. All sets
// give the same bits.
#pragma once

#include <cstdint>

#include "twofour/base/random.h"
#include "twofour/kernels/forward_weight/soft_threshold.h"
#include "twofour/kernels/forward_weight/weight_counts.h"
#include "twofour/kernels/fp8/fp8.h"
#include "twofour/kernels/products/many_tokens/panel24.h"
#include "twofour/kernels/training/adamw.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

struct SoftThresholdProducts {
  double with_weight = 0.0, with_itself = 0.0;
};

/// One implementation of every loop.
template <class T>
struct RowLoops {
  /// out = scale · S(w) of `count` entries (a multiple of 8); `mask` holds count / 8 bytes.
  WeightCounts (*soft_threshold)(const float* w, int64_t count, float scale, T* out, uint8_t* mask);
  /// <w, S(w)> and <S(w), S(w)> of `count` entries (a multiple of 4): entry i is added to sum i %
  /// 16 of sixteen, then these in order.
  SoftThresholdProducts (*soft_threshold_products)(const float* w, int64_t count);
  /// See forward_weight.h; magnitude: `count` is a multiple of 8, `mask` holds count / 8 bytes.
  WeightCounts (*magnitude)(const float* w, int64_t count, T* out, uint8_t* mask);
  int64_t (*masked_weight)(const float* w, int64_t count, const uint8_t* mask, T* out);
  void (*masked_decay)(const float* w, const uint8_t* mask, int64_t count, float factor,
                       float* gradient);
  /// See adamw.h; moment_change: `count` is at most 2^14, entry i is added to sum i % 16 of
  /// sixteen.
  void (*frozen_adamw)(float* w, const float* gradient, float* exp_avg, const float* second_moment,
                       int64_t count, const FrozenAdamW& options);
  MomentChange (*moment_change)(const float* gradient, const float* exp_avg_sq, int64_t count,
                                float gradient_divisor, float beta2);
  /// MVUE of four rows of `columns` entries, `stride` apart, into four rows of out; rows beyond
  /// `rows` are neither read nor written. Groups are numbered from `first_group`, a multiple of 4.
  using MvueRows = void (*)(const T* in, int64_t rows, int64_t columns, int64_t stride,
                            const RandomStream& stream, uint32_t first_group, T* out);
  MvueRows mvue, mvue_exact;
  /// The same as mvue of up to 64 tokens into block `block` of a panel [columns, tokens]. Group g
  /// of the block is numbered from first_group + g * group_stride, both multiples of 4.
  void (*mvue_block)(const T* in, int64_t tokens, int64_t stride, const RandomStream& stream,
                     uint32_t first_group, uint32_t group_stride, int64_t block, Panel24& panel);
  /// See cross_entropy.h; null `scale`: the row stays. `scratch` holds `columns` floats.
  float (*cross_entropy)(T* row, int64_t target, int64_t columns, const float* scale,
                         float* scratch);
  /// out += in of `count` entries.
  void (*accumulate)(const T* in, float* out, int64_t count);
  /// y += scales[0] rows[0] + scales[1] rows[1] + … in this order, `count` of them, of `columns`
  /// columns from `column` on.
  void (*add_scaled_rows)(const float* scales, const float* const* rows, int64_t count,
                          int64_t column, int64_t columns, float* y);
  /// See gelu.h.
  void (*gelu)(const T* z, int64_t count, T* out);
  void (*gelu_gradient)(const T* z, const T* dy, int64_t count, T* dz);
  /// See token_rows.h.
  void (*layer_norm)(const T* x, int64_t count, const float* weight, const float* bias,
                     float epsilon, T* out);
  void (*rms_norm)(const T* x, int64_t count, const float* weight, float epsilon, T* out);
  void (*rotate)(T* x, int64_t half, const T* cosine, const T* sine);
  void (*silu_times)(T* gate, const T* up, int64_t count);
  void (*add)(T* x, const T* y, int64_t count);
  /// See attend.h: `count` queries of one token that share a head of keys and values. `scratch`
  /// holds attend_scratch(count, tokens, width) floats.
  void (*attend)(const T* queries, int64_t count, const T* keys, const T* values, int64_t tokens,
                 int64_t width, float* scratch, T* out);
  /// See fp8.h.
  void (*round_to_float8)(const T* in, int64_t count, Float8 format, float scale, T* out);
  void (*scale_to_float8)(const T* in, int64_t count, Float8 format, float scale, T* out);
  /// The bits of the largest magnitude; of a NaN where there is one.
  uint32_t (*largest_bits)(const T* in, int64_t count);
};

template <class T>
const RowLoops<T>& reference_loops();
template <class T>
const RowLoops<T>& avx2_loops();
template <class T>
const RowLoops<T>& avx512_loops();

/// The loops of instruction_set().
template <class T>
const RowLoops<T>& loops();

}  // namespace twofour::kernels
