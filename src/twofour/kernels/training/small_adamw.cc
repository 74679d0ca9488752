#include "twofour/kernels/training/small_adamw.h"

#include "twofour/base/parallel.h"
#include "twofour/kernels/training/small_adamw_table.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kBlocksOfTask = 64;

template <class W>
SmallAdamWLoop<W, float> loop_for(const SmallAdamWTable<W>& table, const float*) {
  return table.float32;
}
template <class W>
SmallAdamWLoop<W, bfloat16> loop_for(const SmallAdamWTable<W>& table, const bfloat16*) {
  return table.bits16;
}
template <class W>
SmallAdamWLoop<W, Moment8> loop_for(const SmallAdamWTable<W>& table, const Moment8*) {
  return table.bits8;
}

}  // namespace

template <class W, class M>
void small_adamw(W* w, const float* gradient, const AdamWMoments<M>& moments, int64_t count,
                 const AdamWStep& step, const RandomStream& stream) {
  const auto loop = loop_for(table<SmallAdamWTable<W>>(), moments.exp_avg);
  parallel_for(0, count, kMomentBlock * kBlocksOfTask, [&](int64_t first, int64_t last) {
    loop(w, gradient, moments, first, last, step, stream);
  });
}

#define TWOFOUR_DEFINE(W, M)                                                             \
  template void small_adamw(W* w, const float* gradient, const AdamWMoments<M>& moments, \
                            int64_t count, const AdamWStep& step, const RandomStream& stream);
TWOFOUR_DEFINE(float, float)
TWOFOUR_DEFINE(float, bfloat16)
TWOFOUR_DEFINE(float, Moment8)
TWOFOUR_DEFINE(bfloat16, float)
TWOFOUR_DEFINE(bfloat16, bfloat16)
TWOFOUR_DEFINE(bfloat16, Moment8)
#undef TWOFOUR_DEFINE

void first_moment_of(const Moment8* codes, const float* scales, int64_t count, float* m) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t code = codes[i].code;
    const float size = FirstCodes::value<float>(code & 0x7fu) * scales[i / kMomentBlock];
    m[i] = code & 0x80u ? -size : size;
  }
}

void second_moment_of(const Moment8* codes, const float* scales, int64_t count, float* v) {
  for (int64_t i = 0; i < count; ++i) {
    const float root = SecondCodes::value<float>(codes[i].code) * scales[i / kMomentBlock];
    v[i] = root * root;
  }
}

}  // namespace twofour::kernels
