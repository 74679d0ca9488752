#include "twofour/kernels/masks/mask_vectors.h"

namespace twofour::kernels {
namespace {

template <class T>
constexpr MaskLoops<T> kLoops = {magnitude_vectors<T, Floats16>, transposable_vectors<T, Floats16>,
                                 apply_to_entries<T>};
constexpr MaskByteLoops kByteLoops = {flips_of_vectors<Floats16>, pack_vectors,
                                      unpack_vectors<Floats16>, flips_of_bits};

}  // namespace

template <class T>
const MaskLoops<T>& avx512_mask_loops() {
  return kLoops<T>;
}

template const MaskLoops<float>& avx512_mask_loops();
template const MaskLoops<bfloat16>& avx512_mask_loops();
template const MaskLoops<float16>& avx512_mask_loops();

const MaskByteLoops& avx512_mask_byte_loops() { return kByteLoops; }

}  // namespace twofour::kernels
