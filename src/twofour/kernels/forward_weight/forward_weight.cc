#include "twofour/kernels/forward_weight/forward_weight.h"

#include <numeric>

#include "twofour/kernels/forward_weight/forward_weight_table.h"
#include "twofour/kernels/forward_weight/weight_blocks.h"

namespace twofour::kernels {

template <class T>
WeightCounts magnitude24(const float* w, int64_t count, T* out, uint8_t* mask) {
  require_groups(count);
  return weight_and_mask(FlatWeight(w, count), out, mask, table<ForwardWeightTable<T>>().magnitude);
}

template <class T>
int64_t masked_weight(const float* w, int64_t count, const uint8_t* mask, T* out) {
  require_groups(count);
  const auto zeros = for_blocks<int64_t>(count, [&](int64_t first, int64_t last) {
    return table<ForwardWeightTable<T>>().masked(w + first, last - first, mask + first / 8,
                                                 out + first);
  });
  return std::accumulate(zeros.begin(), zeros.end(), int64_t{0});
}

void add_masked_decay(const float* w, const uint8_t* mask, int64_t count, float factor,
                      float* gradient) {
  require_groups(count);
  parallel_for(0, count, kWeightBlock, [&](int64_t first, int64_t last) {
    table<ForwardWeightTable<float>>().decay(w + first, mask + first / 8, last - first, factor,
                                             gradient + first);
  });
}

#define TWOFOUR_INSTANTIATE(T)                                               \
  template WeightCounts magnitude24<T>(const float*, int64_t, T*, uint8_t*); \
  template int64_t masked_weight<T>(const float*, int64_t, const uint8_t*, T*);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
