#include "twofour/model/rotary.h"

#include <numbers>
#include <vector>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>

namespace twofour::model {
namespace {

// LLaMA 3.1's factor on one frequency.
float scaled_frequency(float frequency, const RopeScaling& scaling) {
  const auto context = static_cast<float>(scaling.original_context);
  const auto low = static_cast<float>(scaling.low_frequency_factor);
  const auto high = static_cast<float>(scaling.high_frequency_factor);
  const auto factor = static_cast<float>(scaling.factor);
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
  if (wavelength > context / low) return frequency / factor;
  if (wavelength < context / high) return frequency;
  const float blend = (context / wavelength - low) / (high - low);
  return (1 - blend) * frequency / factor + blend * frequency;
}

}  // namespace

at::Tensor rope_frequencies(const Rope& rope, int64_t width) {
  const at::Tensor exponents = at::arange(0, width, 2, at::TensorOptions().dtype(at::kFloat))
                                   .div(static_cast<double>(width));
  at::Tensor frequencies = at::pow(rope.theta, exponents).reciprocal();
  if (rope.scaling.kind == RopeScaling::Kind::kLinear) {
    frequencies.div_(rope.scaling.factor);
  } else if (rope.scaling.kind == RopeScaling::Kind::kLlama3) {
    auto* values = frequencies.mutable_data_ptr<float>();
    for (int64_t i = 0; i < frequencies.numel(); ++i) {
      values[i] = scaled_frequency(values[i], rope.scaling);
    }
  }
  return frequencies;
}

Rotation rotation_of(const at::Tensor& frequencies, int64_t first, int64_t tokens,
                     at::ScalarType dtype) {
  const at::Tensor positions =
      at::arange(first, first + tokens, at::TensorOptions().dtype(at::kFloat));
  const at::Tensor angles = at::outer(positions, frequencies);
  return {angles.cos().to(dtype), angles.sin().to(dtype)};
}

at::Tensor rotate(const at::Tensor& x, const Rotation& by) {
  const int64_t half = by.cosine.size(1), rest = x.size(3) - 2 * half;
  const at::Tensor first = x.narrow(3, 0, half), second = x.narrow(3, half, half);
  std::vector<at::Tensor> parts = {first.mul(by.cosine).sub(second.mul(by.sine)),
                                   second.mul(by.cosine).add(first.mul(by.sine))};
  if (rest > 0) parts.push_back(x.narrow(3, 2 * half, rest));
  return at::cat(parts, 3);
}

}  // namespace twofour::model
