#include "twofour/kernels/products/many_tokens/product24_generic.h"

namespace twofour::kernels {

template <>
const ProductLoops<float>& product_avx2() {
  return kGenericLoops<float, 8, 2>;
}

template <>
const ProductLoops<bfloat16>& product_avx2() {
  return kGenericLoops<bfloat16, 8, 2>;
}

template <>
const ProductLoops<float16>& product_avx2() {
  return kGenericLoops<float16, 8, 2>;
}

}  // namespace twofour::kernels
