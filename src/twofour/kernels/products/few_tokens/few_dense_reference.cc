#include "twofour/kernels/products/few_tokens/few_dense_generic.h"

namespace twofour::kernels {
namespace {

struct Reference {
  using X = float;
  using Sum = float;
  static constexpr int64_t kStep = 1;
  static constexpr int kUnrolled = 4, kBlockTokens = 4;

  template <class T>
  static float weights(const T* at) {
    return to_float(*at);
  }
  template <class T>
  static float first_weights(const T* at, int64_t) {
    return to_float(*at);
  }
  static float entries(const float* x) { return *x; }
  static void add(float& sum, float weight, float entry) { sum += weight * entry; }
  template <size_t kRows>
  static void totals(const float (&sums)[kRows], float* out) {
    for (size_t r = 0; r < kRows; ++r) out[r] = sums[r];
  }
};

}  // namespace

template <>
const DenseLoops<float>& few_dense_reference() {
  return kDenseLoops<Reference, float>;
}

template <>
const DenseLoops<bfloat16>& few_dense_reference() {
  return kDenseLoops<Reference, bfloat16>;
}

template <>
const DenseLoops<float16>& few_dense_reference() {
  return kDenseLoops<Reference, float16>;
}

}  // namespace twofour::kernels
