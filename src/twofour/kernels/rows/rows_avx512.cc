#include "twofour/kernels/mvue/mvue24_avx512.h"
#include "twofour/kernels/rows/rows_loops.h"

namespace twofour::kernels {
namespace {

template <class T>
constexpr RowLoops<T> kAvx512Loops = {soft_threshold_entries<T, Floats16>,
                                      soft_threshold_products<Floats16>,
                                      magnitude_entries<T, Floats16>,
                                      masked_entries<T, Floats16>,
                                      add_decay<Floats16>,
                                      frozen_entries<Floats16>,
                                      moment_change_of<Floats16>,
                                      mvue_rows_avx512<T, Mvue::kApproximate>,
                                      mvue_rows_avx512<T, Mvue::kExact>,
                                      mvue_block_avx512<T>,
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
                                      round_entries_to_float8<T, Floats16>,
                                      scale_entries_to_float8<T, Floats16>,
                                      largest_bits<T, Floats16>};

}  // namespace

template <class T>
const RowLoops<T>& avx512_loops() {
  return kAvx512Loops<T>;
}

template const RowLoops<float>& avx512_loops();
template const RowLoops<bfloat16>& avx512_loops();
template const RowLoops<float16>& avx512_loops();

}  // namespace twofour::kernels
