#include "twofour/kernels/matrix.h"

#include <algorithm>
#include <array>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/group.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kBlock = 1 << 14;  // entries: the unit of work and of every sum

// Sums what block(first, last) returns over fixed blocks, in the order of the blocks.
template <class Sum, class Fn>
std::vector<Sum> for_blocks(int64_t count, Fn&& block) {
  std::vector<Sum> sums(static_cast<size_t>((count + kBlock - 1) / kBlock));
  parallel_for(0, static_cast<int64_t>(sums.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      sums[static_cast<size_t>(i)] = block(i * kBlock, std::min(count, (i + 1) * kBlock));
    }
  });
  return sums;
}

// The last half byte of a count that is no multiple of 8.
template <class T>
SoftThresholdSums last_group(const float* w, float scale, T* out, uint8_t* mask) {
  float padded[8] = {w[0], w[1], w[2], w[3], 0.0f, 0.0f, 0.0f, 0.0f};
  T result[8];
  uint8_t byte = static_cast<uint8_t>((*mask & 0xf0u) | 0x3u);  // the padding's mask never flips
  SoftThresholdSums sums = loops<T>().soft_threshold(padded, 8, scale, result, &byte);
  std::copy(result, result + 4, out);
  *mask = byte & 0xf0u;
  sums.zeros -= 4;
  return sums;
}

}  // namespace

template <class T>
const RowLoops<T>& loops() {
  switch (instruction_set()) {
    case InstructionSet::kReference:
      return reference_loops<T>();
    case InstructionSet::kAvx2:
      return avx2_loops<T>();
    default:
      return avx512_loops<T>();
  }
}

double soft_threshold_scale(const float* w, int64_t count) {
  using Products = std::array<double, 2>;
  const auto sums = for_blocks<Products>(count, [&](int64_t first, int64_t last) {
    Products sum = {0.0, 0.0};
    for (int64_t i = first; i < last; i += 4) {
      const float t = threshold24(w[i], w[i + 1], w[i + 2], w[i + 3]);
      for (int64_t k = i; k < i + 4; ++k) {
        const double s = shrink(w[k], t);
        sum[0] += w[k] * s;
        sum[1] += s * s;
      }
    }
    return sum;
  });
  double with_weight = 0.0, with_itself = 0.0;
  for (const Products& sum : sums) {
    with_weight += sum[0];
    with_itself += sum[1];
  }
  return with_itself > 0.0 ? with_weight / with_itself : 1.0;
}

template <class T>
SoftThresholdSums soft_threshold24(const float* w, int64_t count, float scale, T* out,
                                   uint8_t* mask) {
  if (count % 4 != 0) fail("{} weights are not a multiple of 4, as 2:4 needs", count);
  const int64_t whole = count / 8 * 8;
  const auto parts = for_blocks<SoftThresholdSums>(whole, [&](int64_t first, int64_t last) {
    return loops<T>().soft_threshold(w + first, last - first, scale, out + first, mask + first / 8);
  });
  SoftThresholdSums sums;
  if (whole < count) sums = last_group(w + whole, scale, out + whole, mask + whole / 8);
  for (const SoftThresholdSums& part : parts) {
    sums.flips += part.flips;
    sums.zeros += part.zeros;
  }
  return sums;
}

template <class T>
void run_cross_entropy(T* logits, const int64_t* targets, int64_t rows, int64_t columns,
                       const float* scale, float* nll) {
  parallel_for(0, rows, 1, [&](int64_t first, int64_t last) {
    std::vector<float> scratch(static_cast<size_t>(columns));
    for (int64_t r = first; r < last; ++r) {
      nll[r] = loops<T>().cross_entropy(logits + r * columns, targets[r], columns, scale,
                                        scratch.data());
    }
  });
}

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

template <class T>
void accumulate(const T* in, float* out, int64_t count) {
  parallel_for(0, count, kBlock, [&](int64_t first, int64_t last) {
    loops<T>().accumulate(in + first, out + first, last - first);
  });
}

#define TWOFOUR_INSTANTIATE(T)                                                                \
  template const RowLoops<T>& loops<T>();                                                     \
  template SoftThresholdSums soft_threshold24<T>(const float*, int64_t, float, T*, uint8_t*); \
  template double cross_entropy_gradient<T>(T*, const int64_t*, int64_t, int64_t, float);     \
  template void cross_entropy<T>(const T*, const int64_t*, int64_t, int64_t, float*);         \
  template void accumulate<T>(const T*, float*, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
