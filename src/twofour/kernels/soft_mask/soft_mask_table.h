// The loops of soft_mask.h. A chunk of groups passes through all of them while its probabilities
// and masks stay in the first-level cache: soft_mask_lanes.h makes the masks, whose entries then
// meet the weights in their order.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "twofour/kernels/rows/table.h"
#include "twofour/kernels/soft_mask/soft_mask_lanes.h"

namespace twofour::kernels {

constexpr int64_t kSquareLanes = 16;  // partial sums of squares

/// T is the type of logits, of weights, or of results.
template <class T>
struct SoftMaskTable {
  /// y and the mask of a chunk's logits [groups, C].
  void (*soft)(const SoftMaskStep& step, const T* logits, const SoftMaskChunk& chunk);
  /// The candidate with the largest logit of each group, of equals the first. NaN never wins.
  void (*winners)(const T* logits, int64_t groups, int64_t count, uint8_t* winner);
  /// out = in.
  void (*widen)(const T* in, int64_t count, float* out);
  /// out = w · soft; the square of product i is added to squares[i % kSquareLanes].
  void (*masked)(const float* w, const float* soft, int64_t count, T* out, double* squares);
  /// With g = dmasked - decay · w · soft: dweight += g · soft and out = w · soft, unless null, and
  /// soft is replaced by g · w.
  void (*gradients)(const float* w, const float* dmasked, int64_t count, float decay, float* soft,
                    float* dweight, T* out);
};

struct SoftMaskSumsTable {
  /// dlogits [groups, C] += factor · the gradient of the softmax, of a chunk whose `soft` holds the
  /// gradient of the mask.
  void (*add)(const SoftMaskStep& step, const SoftMaskChunk& chunk, float factor, float* dlogits);
};

namespace {

template <class T>
void winners_of_chunk(const T* logits, int64_t groups, int64_t count, uint8_t* winner) {
  for (int64_t g = 0; g < groups; ++g, logits += count) {
    float top = -std::numeric_limits<float>::infinity();
    winner[g] = 0;
    for (int64_t k = 0; k < count; ++k) {
      const float logit = to_float(logits[k]);
      winner[g] = logit > top ? static_cast<uint8_t>(k) : winner[g];
      top = logit > top ? logit : top;
    }
  }
}

template <class F, class T>
void widen_entries(const T* in, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + kLanesOf<F> <= count; i += kLanesOf<F>) store_lanes(load_lanes<F>(in + i), out + i);
  for (; i < count; ++i) out[i] = to_float(in[i]);
}

// Entries i to i + lanes; i is a multiple of the lanes.
template <class F>
void add_squares(F value, int64_t i, double* squares) {
  double* const sums = squares + i % kSquareLanes;
  if constexpr (sizeof(F) == sizeof(float)) {
    *sums += static_cast<double>(value) * static_cast<double>(value);
  } else {
    const auto add = [&](auto half, double* to) {
      decltype(half) sum;
      std::memcpy(&sum, to, sizeof sum);
      sum += half * half;
      std::memcpy(to, &sum, sizeof sum);
    };
    add(half_as_doubles<0>(value), sums);
    add(half_as_doubles<1>(value), sums + kLanesOf<F> / 2);
  }
}

template <class F, class T>
void masked_entries_of(const float* w, const float* soft, int64_t count, T* out, double* squares) {
  int64_t i = 0;
  for (; i + kLanesOf<F> <= count; i += kLanesOf<F>) {
    const F value = load_lanes<F>(w + i) * load_lanes<F>(soft + i);
    store_lanes(value, out + i);
    add_squares(value, i, squares);
  }
  if constexpr (sizeof(F) > sizeof(float)) {
    for (; i < count; ++i) {
      const float value = w[i] * soft[i];
      store(value, out[i]);
      add_squares(value, i, squares);
    }
  }
}

template <class F, class T>
void gradient_lanes(const float* w, const float* dmasked, float decay, float* soft, float* dweight,
                    T* out) {
  const F weight = load_lanes<F>(w), share = load_lanes<F>(soft), value = weight * share;
  const F g = load_lanes<F>(dmasked) - decay * value;
  if (dweight) store_lanes(load_lanes<F>(dweight) + g * share, dweight);
  if (out) store_lanes(value, out);
  store_lanes(g * weight, soft);
}

template <class F, class T>
void gradient_entries_of(const float* w, const float* dmasked, int64_t count, float decay,
                         float* soft, float* dweight, T* out) {
  const auto part = [](auto* array, int64_t i) { return array ? array + i : nullptr; };
  int64_t i = 0;
  for (; i + kLanesOf<F> <= count; i += kLanesOf<F>) {
    gradient_lanes<F>(w + i, dmasked + i, decay, soft + i, part(dweight, i), part(out, i));
  }
  for (; i < count; ++i) {
    gradient_lanes<float>(w + i, dmasked + i, decay, soft + i, part(dweight, i), part(out, i));
  }
}

template <class T, class F>
constexpr SoftMaskTable<T> kTable<SoftMaskTable<T>, F> = {.soft = soft_of_chunk<F, T>,
                                                          .winners = winners_of_chunk<T>,
                                                          .widen = widen_entries<F, T>,
                                                          .masked = masked_entries_of<F, T>,
                                                          .gradients = gradient_entries_of<F, T>};

template <class F>
constexpr SoftMaskSumsTable kTable<SoftMaskSumsTable, F> = {.add = add_gradient_of_chunk<F>};

}  // namespace
}  // namespace twofour::kernels
