#include "twofour/kernels/masks/mask_loops.h"

namespace twofour::kernels {
namespace {

template <class T>
constexpr MaskLoops<T> kLoops = {magnitude_groups<T>, transposable_blocks<T>, apply_to_entries<T>};
constexpr MaskByteLoops kByteLoops = {flips_of_bytes, pack_bytes, unpack_bytes, flips_of_bits};

}  // namespace

template <class T>
const MaskLoops<T>& reference_mask_loops() {
  return kLoops<T>;
}

template const MaskLoops<float>& reference_mask_loops();
template const MaskLoops<bfloat16>& reference_mask_loops();
template const MaskLoops<float16>& reference_mask_loops();

const MaskByteLoops& reference_mask_byte_loops() { return kByteLoops; }

}  // namespace twofour::kernels
