// The soft threshold, MVUE and the 8-bit floats, on the CPU.
#include <ATen/ops/zeros.h>

#include "twofour/kernels/forward_weight/soft_threshold.h"
#include "twofour/kernels/fp8/fp8.h"
#include "twofour/kernels/masks/mask.h"
#include "twofour/kernels/mvue/mvue.h"
#include "twofour/sparse/kernel_types.h"
#include "twofour/sparse/operators.h"
#include "twofour/sparse/operators_shapes.h"

namespace twofour::sparse::operators {

std::tuple<at::Tensor, at::Tensor> soft_threshold24(const at::Tensor& weight, double scale) {
  auto [out, mask] = shapes::soft_threshold24(weight, scale);
  const Rows in(weight.to(at::kFloat));
  const at::Tensor bits = at::zeros({(out.numel() + 7) / 8}, at::kByte);
  with_type(out.scalar_type(), [&, &values = out](auto* type) {
    using T = Pointee<decltype(type)>;
    kernels::soft_threshold24<T>(
        in.data<float>(), in.rows, in.columns, in.stride, static_cast<float>(scale),
        static_cast<T*>(values.mutable_data_ptr()), bits.mutable_data_ptr<uint8_t>());
  });
  kernels::unpack_mask(bits.const_data_ptr<uint8_t>(), out.numel(),
                       static_cast<uint8_t*>(mask.mutable_data_ptr()));
  return {out, mask};
}

double soft_threshold_scale(const at::Tensor& weight) {
  check_floating("the weight", weight);
  check_groups(weight, 4);
  const Rows in(weight.to(at::kFloat));
  return kernels::soft_threshold_scale(in.data<float>(), in.rows, in.columns, in.stride);
}

at::Tensor mvue24(const at::Tensor& gradient, int64_t seed, c10::SymInt step,
                  c10::SymInt micro_batch, int64_t tensor, bool exact) {
  at::Tensor out = shapes::mvue24(gradient, seed, step, micro_batch, tensor, exact);
  const RandomStream stream = stream_of(seed, step, micro_batch, tensor);
  const Rows in(gradient);
  with_type(gradient.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    kernels::mvue24<T>(in.data<T>(), in.rows, in.columns, in.stride, stream,
                       static_cast<T*>(out.mutable_data_ptr()),
                       exact ? kernels::Mvue::kExact : kernels::Mvue::kApproximate);
  });
  return out;
}

at::Tensor round_to_float8(const at::Tensor& x, std::string_view format, double scale) {
  at::Tensor out = shapes::round_to_float8(x, format, scale);
  const at::Tensor in = x.contiguous();
  with_type(x.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    kernels::round_to_float8<T>(static_cast<const T*>(in.const_data_ptr()), in.numel(),
                                float8_named(format), static_cast<float>(scale),
                                static_cast<T*>(out.mutable_data_ptr()));
  });
  return out;
}

double float8_scale(const at::Tensor& x, std::string_view format) {
  check_floating("x", x);
  const kernels::Float8 kind = float8_named(format);
  const at::Tensor in = x.contiguous();
  return with_type(x.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    const auto* values = static_cast<const T*>(in.const_data_ptr());
    return kernels::float8_scale(kernels::largest_magnitude<T>(values, in.numel()), kind);
  });
}

}  // namespace twofour::sparse::operators
