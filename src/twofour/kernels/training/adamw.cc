#include "twofour/kernels/training/adamw.h"

#include "twofour/kernels/forward_weight/weight_blocks.h"
#include "twofour/kernels/training/adamw_table.h"

namespace twofour::kernels {

void frozen_adamw(float* w, const float* gradient, float* exp_avg, const float* second_moment,
                  int64_t count, const FrozenAdamW& options) {
  parallel_for(0, count, kWeightBlock, [&](int64_t first, int64_t last) {
    table<AdamWTable>().frozen(w + first, gradient + first, exp_avg + first, second_moment + first,
                               last - first, options);
  });
}

MomentChange second_moment_change(const float* gradient, const float* exp_avg_sq, int64_t count,
                                  float gradient_divisor, float beta2) {
  const auto blocks = for_blocks<MomentChange>(count, [&](int64_t first, int64_t last) {
    return table<AdamWTable>().moment_change(gradient + first, exp_avg_sq + first, last - first,
                                             gradient_divisor, beta2);
  });
  MomentChange change;
  for (const MomentChange& block : blocks) {
    change.sum += block.sum;
    change.sum_of_logarithms += block.sum_of_logarithms;
    change.nonzero += block.nonzero;
  }
  return change;
}

}  // namespace twofour::kernels
