#include "twofour/kernels/mvue24_avx512.h"

namespace twofour::kernels {
namespace {

template <class T>
constexpr RowLoops<T> kAvx512Loops = {soft_threshold_groups<T>, mvue_rows_avx512<T>,
                                      mvue_block_avx512<T>, cross_entropy_row<T>,
                                      accumulate_entries<T>};

}  // namespace

template <>
const RowLoops<float>& avx512_loops() {
  return kAvx512Loops<float>;
}

template <>
const RowLoops<bfloat16>& avx512_loops() {
  return kAvx512Loops<bfloat16>;
}

}  // namespace twofour::kernels
