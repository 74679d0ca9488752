#include "twofour/kernels/training/cross_entropy.h"

#include <vector>

#include "twofour/base/parallel.h"
#include "twofour/kernels/training/cross_entropy_table.h"

namespace twofour::kernels {
namespace {

template <class T>
void run_cross_entropy(T* logits, const int64_t* targets, int64_t rows, int64_t columns,
                       const float* scale, float* nll) {
  parallel_for(0, rows, 1, [&](int64_t first, int64_t last) {
    std::vector<float> scratch(static_cast<size_t>(columns));
    for (int64_t r = first; r < last; ++r) {
      nll[r] = table<CrossEntropyTable<T>>().row(logits + r * columns, targets[r], columns, scale,
                                                 scratch.data());
    }
  });
}

}  // namespace

template <class T>
double cross_entropy_gradient(T* logits, const int64_t* targets, int64_t rows, int64_t columns,
                              float scale) {
  std::vector<float> nll(static_cast<size_t>(rows));
  run_cross_entropy(logits, targets, rows, columns, &scale, nll.data());
  double total = 0.0;
  for (const float value : nll) total += value;
  return total;
}

template <class T>
void cross_entropy(const T* logits, const int64_t* targets, int64_t rows, int64_t columns,
                   float* nll) {
  // Without a scale the loop only reads the logits.
  run_cross_entropy(const_cast<T*>(logits), targets, rows, columns, nullptr, nll);
}

#define TWOFOUR_INSTANTIATE(T)                                                            \
  template double cross_entropy_gradient<T>(T*, const int64_t*, int64_t, int64_t, float); \
  template void cross_entropy<T>(const T*, const int64_t*, int64_t, int64_t, float*);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
