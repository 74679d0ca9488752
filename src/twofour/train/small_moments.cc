#include "twofour/train/small_moments.h"

#include <ATen/ops/zeros.h>

#include "twofour/base/error.h"

namespace twofour::train {
namespace {

using kernels::AdamWMoments;

template <class M>
M* data_of(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<M*>(tensor.mutable_data_ptr()) : nullptr;
}

template <class M>
AdamWMoments<M> arrays_of(const SmallMoments& moments) {
  return {data_of<M>(moments.exp_avg), data_of<M>(moments.exp_avg_sq),
          data_of<float>(moments.exp_avg_scale), data_of<float>(moments.exp_avg_sq_scale)};
}

at::ScalarType dtype_of(Moments kind) {
  switch (kind) {
    case Moments::kFloat32:
      return at::kFloat;
    case Moments::kBFloat16:
      return at::kBFloat16;
    default:
      return at::kByte;
  }
}

}  // namespace

SmallMoments make_moments(const at::Tensor& parameter, Moments kind) {
  const auto zeros = [](at::IntArrayRef sizes, at::ScalarType dtype) {
    return at::zeros(sizes, at::TensorOptions().dtype(dtype));
  };
  SmallMoments moments;
  moments.exp_avg = zeros(parameter.sizes(), dtype_of(kind));
  moments.exp_avg_sq = zeros(parameter.sizes(), dtype_of(kind));
  if (kind == Moments::kEightBit) {
    const int64_t blocks = (parameter.numel() + kernels::kMomentBlock - 1) / kernels::kMomentBlock;
    moments.exp_avg_scale = zeros({blocks}, at::kFloat);
    moments.exp_avg_sq_scale = zeros({blocks}, at::kFloat);
  }
  return moments;
}

void update_small(const at::Tensor& parameter, const at::Tensor& gradient,
                  const SmallMoments& moments, const kernels::AdamWStep& step,
                  const RandomStream& stream) {
  const auto* g = gradient.const_data_ptr<float>();
  const int64_t count = parameter.numel();
  const auto update = [&](auto* w) {
    switch (moments.exp_avg.scalar_type()) {
      case at::kFloat:
        return kernels::small_adamw(w, g, arrays_of<float>(moments), count, step, stream);
      case at::kBFloat16:
        return kernels::small_adamw(w, g, arrays_of<kernels::bfloat16>(moments), count, step,
                                    stream);
      default:
        return kernels::small_adamw(w, g, arrays_of<kernels::Moment8>(moments), count, step,
                                    stream);
    }
  };
  switch (parameter.scalar_type()) {
    case at::kFloat:
      return update(data_of<float>(parameter));
    case at::kBFloat16:
      return update(data_of<kernels::bfloat16>(parameter));
    default:
      fail("AdamW takes parameters in float32 or bfloat16, not {}",
           c10::toString(parameter.scalar_type()));
  }
}

}  // namespace twofour::train
