#include "twofour/sparse/float8.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>

#include "twofour/sparse/linear24.h"
#include "twofour/sparse/mvue.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::sparse {

Float8Tensor to_float8(const at::Tensor& x, kernels::Float8 format) {
  const at::Tensor in = x.contiguous();
  Float8Tensor rounded{at::empty_like(in)};
  tensor::with_type(in.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    const auto* values = static_cast<const T*>(in.const_data_ptr());
    const float scale =
        kernels::float8_scale(kernels::largest_magnitude(values, in.numel()), format);
    kernels::scale_to_float8(values, in.numel(), format, scale,
                             static_cast<T*>(rounded.values.mutable_data_ptr()));
    rounded.scale = scale;
  });
  return rounded;
}

const Float8Tensor& Float8Weight::forward(const at::Tensor& weight) {
  if (!forward_.values.defined()) forward_ = to_float8(weight, kernels::Float8::kE4M3);
  return forward_;
}

const Float8Tensor& Float8Weight::backward(const at::Tensor& weight) {
  if (!backward_.values.defined()) backward_ = to_float8(weight, kernels::Float8::kE5M2);
  return backward_;
}

at::Tensor forward_product_float8(const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& bias, Float8Weight& rounded,
                                  Weight24* weight24) {
  const Float8Tensor x8 = to_float8(x, kernels::Float8::kE4M3);
  const Float8Tensor& w8 = rounded.forward(weight);
  at::Tensor z = forward_product(x8.values, w8.values, {}, weight24);
  z.div_(x8.scale * w8.scale);
  if (bias.defined()) z.add_(bias);
  return z;
}

at::Tensor input_gradient_product_float8(const at::Tensor& dz, const at::Tensor& weight,
                                         Float8Weight& rounded, Weight24* weight24) {
  const Float8Tensor dz8 = to_float8(dz, kernels::Float8::kE5M2);
  const Float8Tensor& w8 = rounded.backward(weight);
  return input_gradient_product(dz8.values, w8.values, weight24).div_(dz8.scale * w8.scale);
}

void add_weight_gradient_float8(const at::Tensor& dz, const at::Tensor& x,
                                const RandomStream* stream, at::Tensor& gradient) {
  const Float8Tensor dz8 = to_float8(stream ? mvue24(dz, *stream) : dz, kernels::Float8::kE5M2);
  const Float8Tensor x8 = to_float8(x, kernels::Float8::kE5M2);
  at::Tensor product = at::zeros_like(gradient);
  add_weight_gradient_product(dz8.values, x8.values, product);
  gradient.add_(product, 1.0 / (dz8.scale * x8.scale));
}

}  // namespace twofour::sparse
