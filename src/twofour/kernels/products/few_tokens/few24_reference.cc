#include "twofour/kernels/products/few_tokens/few24_generic.h"

namespace twofour::kernels {
namespace {

template <class T>
void multiply(const Packed24View<T>& a, int64_t row, int64_t rows, const std::byte* x,
              int64_t tokens, float* sums) {
  const int64_t padded = whole(a.columns, kFewColumns);
  for (int64_t t = 0; t < tokens; ++t) {
    const float* token = reinterpret_cast<const float*>(x) + t * padded;
    for (int64_t r = 0; r < rows; ++r) {
      const T* values = a.row_values(row + r);
      const uint8_t* positions = a.row_positions(row + r);
      float sum = 0.0f;
      for (int64_t g = 0; g < a.groups(); ++g) {
        const uint32_t position = positions[g / 2] >> (g % 2 * 4) & 15u;
        sum += to_float(values[2 * g]) * token[4 * g + (position & 3)];
        sum += to_float(values[2 * g + 1]) * token[4 * g + (position >> 2)];
      }
      sums[t * kFewRows + r] = sum;
    }
  }
}

template <class T>
constexpr FewLoops<T> kLoops = {.x_bytes = x_bytes_by_row,
                                .load = load_by_row<T>,
                                .multiply = multiply<T>,
                                .finish = finish_any<T>};

}  // namespace

template <>
const FewLoops<float>& few_reference() {
  return kLoops<float>;
}

template <>
const FewLoops<bfloat16>& few_reference() {
  return kLoops<bfloat16>;
}

template <>
const FewLoops<float16>& few_reference() {
  return kLoops<float16>;
}

}  // namespace twofour::kernels
