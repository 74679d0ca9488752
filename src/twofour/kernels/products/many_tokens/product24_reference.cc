#include "twofour/kernels/products/many_tokens/product24_generic.h"

namespace twofour::kernels {

template <>
const ProductLoops<float>& product_reference() {
  return kGenericLoops<float, 4, 2>;
}

template <>
const ProductLoops<bfloat16>& product_reference() {
  return kGenericLoops<bfloat16, 4, 2>;
}

template <>
const ProductLoops<float16>& product_reference() {
  return kGenericLoops<float16, 4, 2>;
}

}  // namespace twofour::kernels
