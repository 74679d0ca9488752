// The masked forward weight and its decay, for F = float, Floats8 or Floats16.
#pragma once

#include <cstdint>

#include "twofour/kernels/forward_weight/weight_lanes.h"
#include "twofour/kernels/rows/table.h"

namespace twofour::kernels {

/// See forward_weight.h.
template <class T>
struct ForwardWeightTable {
  /// `count` is a multiple of 8, `mask` holds count / 8 bytes.
  WeightCounts (*magnitude)(const float* w, int64_t count, T* out, uint8_t* mask);
  int64_t (*masked)(const float* w, int64_t count, const uint8_t* mask, T* out);
  void (*decay)(const float* w, const uint8_t* mask, int64_t count, float factor, float* gradient);
};

namespace {

struct Magnitude {
  void group(const float* w, uint32_t kept, float (&value)[4]) const {
    for (int k = 0; k < 4; ++k) value[k] = kept >> (3 - k) & 1 ? w[k] : 0.0f;
  }
  template <class F>
  F lanes(const OrderedLanes<F>& ordered) const {
    return ordered.size > ordered.threshold ? ordered.w : F{};
  }
};

template <class T, class F>
WeightCounts magnitude_entries(const float* w, int64_t count, T* out, uint8_t* mask) {
  return weigh<T, F>(w, count, Magnitude{}, out, mask);
}

template <class T, class F>
int64_t masked_entries(const float* w, int64_t count, const uint8_t* mask, T* out) {
  int64_t zeros = 0, i = 0;
  if constexpr (sizeof(F) != sizeof(float)) {
    constexpr int64_t kWidth = sizeof(F) / sizeof(float);
    for (; i + kMaskStep <= count; i += kMaskStep) {
      const uint64_t kept = load_mask(mask + i / 8);
      uint64_t nonzero = 0;
      for (int64_t k = 0; k < kMaskStep; k += kWidth) {
        prefetch_ahead(w + i + k);
        const F value = chosen_lanes(kept >> k, load_lanes<F>(w + i + k), F{});
        store_lanes(value, out + i + k);
        nonzero |= nonzero_lanes<T>(value) << k;
      }
      zeros += kMaskStep - __builtin_popcountll(nonzero);
    }
  }
  for (; i < count; ++i) {
    const float value = mask_bit(mask, i) ? w[i] : 0.0f;
    store(value, out[i]);
    zeros += is_zero_as<T>(value);
  }
  return zeros;
}

template <class F>
void add_decay(const float* w, const uint8_t* mask, int64_t count, float factor, float* gradient) {
  int64_t i = 0;
  if constexpr (sizeof(F) != sizeof(float)) {
    constexpr int64_t kWidth = sizeof(F) / sizeof(float);
    for (; i + kMaskStep <= count; i += kMaskStep) {
      const uint64_t kept = load_mask(mask + i / 8);
      for (int64_t k = 0; k < kMaskStep; k += kWidth) {
        prefetch_ahead(w + i + k);
        prefetch_ahead(gradient + i + k);
        const F before = load_lanes<F>(gradient + i + k);
        const F sum = before + factor * load_lanes<F>(w + i + k);
        store_lanes(chosen_lanes(kept >> k, before, sum), gradient + i + k);
      }
    }
  }
  for (; i < count; ++i) {
    if (!mask_bit(mask, i)) gradient[i] += factor * w[i];
  }
}

template <class T, class F>
constexpr ForwardWeightTable<T> kTable<ForwardWeightTable<T>, F> = {
    .magnitude = magnitude_entries<T, F>, .masked = masked_entries<T, F>, .decay = add_decay<F>};

}  // namespace
}  // namespace twofour::kernels
