#include "twofour/kernels/forward_weight/soft_threshold.h"

#include "twofour/kernels/forward_weight/soft_threshold_table.h"
#include "twofour/kernels/forward_weight/weight_blocks.h"

namespace twofour::kernels {

namespace {

FlatWeight groups_of(const float* w, int64_t rows, int64_t columns, int64_t stride) {
  if (columns % 4 != 0) fail("{} columns are not a multiple of 4, as 2:4 needs", columns);
  return FlatWeight(w, rows, columns, stride);
}

}  // namespace

double soft_threshold_scale(const float* w, int64_t rows, int64_t columns, int64_t stride) {
  const FlatWeight weight = groups_of(w, rows, columns, stride);
  const auto blocks =
      for_blocks<SoftThresholdProducts>(weight.count(), [&](int64_t first, int64_t last) {
        return weight.with(first, last, [&](const float* from) {
          return table<SoftThresholdTable<float>>().products(from, last - first);
        });
      });
  SoftThresholdProducts sum;
  for (const SoftThresholdProducts& block : blocks) {
    sum.with_weight += block.with_weight;
    sum.with_itself += block.with_itself;
  }
  const bool is_zero = sum.with_weight == 0.0 && sum.with_itself == 0.0;
  return is_zero ? 1.0 : sum.with_weight / sum.with_itself;
}

template <class T>
WeightCounts soft_threshold24(const float* w, int64_t rows, int64_t columns, int64_t stride,
                              float scale, T* out, uint8_t* mask) {
  return weight_and_mask(groups_of(w, rows, columns, stride), out, mask,
                         [scale, loop = table<SoftThresholdTable<T>>().shrink](
                             const float* from, int64_t entries, T* to, uint8_t* bits) {
                           return loop(from, entries, scale, to, bits);
                         });
}

#define TWOFOUR_INSTANTIATE(T)                                                                  \
  template WeightCounts soft_threshold24<T>(const float*, int64_t, int64_t, int64_t, float, T*, \
                                            uint8_t*);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
