// The operators on CUDA tensors, through kernels/cuda/cuda.h. Compiled only with TWOFOUR_CUDA, and
// not yet run: see there. Needs no CUDA header, because streams and devices come through c10.
#include "twofour/sparse/operators_cuda.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/library.h>

#include "twofour/kernels/cuda/cuda.h"
#include "twofour/kernels/fp8/fp8.h"
#include "twofour/sparse/operators_shapes.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::sparse::operators::on_cuda {
namespace {

const uint8_t* device_bytes_of(const at::Tensor& mask) {
  return static_cast<const uint8_t*>(mask.const_data_ptr());
}

uint8_t* mutable_device_bytes_of(const at::Tensor& mask) {
  return static_cast<uint8_t*>(mask.mutable_data_ptr());
}

// Makes the tensor's device current during its lifetime.
struct OnDevice {
  explicit OnDevice(const at::Tensor& tensor)
      : guard(tensor.device()),
        stream(c10::impl::VirtualGuardImpl(at::kCUDA).getStream(tensor.device()).native_handle()) {}
  c10::DeviceGuard guard;
  kernels::cuda::Stream stream;
};

at::Tensor magnitude_mask(const at::Tensor& weight, int64_t kept, int64_t group) {
  const OnDevice device(weight);
  at::Tensor mask = shapes::magnitude_mask(weight, kept, group);
  const Rows in(weight);
  tensor::with_type(weight.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::cuda::magnitude_mask<T>(in.data<T>(), in.rows, in.columns, in.stride,
                                     static_cast<int>(kept), static_cast<int>(group),
                                     mutable_device_bytes_of(mask), device.stream);
  });
  return mask;
}

at::Tensor transposable_mask24(const at::Tensor& weight) {
  const OnDevice device(weight);
  at::Tensor mask = shapes::transposable_mask24(weight);
  const Rows in(weight);
  tensor::with_type(weight.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::cuda::transposable_mask24<T>(in.data<T>(), in.rows, in.columns, in.stride,
                                          mutable_device_bytes_of(mask), device.stream);
  });
  return mask;
}

at::Tensor apply_mask(const at::Tensor& weight, const at::Tensor& mask) {
  const OnDevice device(weight);
  at::Tensor out = shapes::apply_mask(weight, mask);
  const Rows in(weight);
  const at::Tensor kept = mask.contiguous();
  tensor::with_type(weight.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::cuda::apply_mask<T>(in.data<T>(), in.rows, in.columns, in.stride,
                                 device_bytes_of(kept), static_cast<T*>(out.mutable_data_ptr()),
                                 device.stream);
  });
  return out;
}

int64_t mask_flips(const at::Tensor& mask, const at::Tensor& other) {
  check_masks(mask, other);
  const OnDevice device(mask);
  const at::Tensor one = mask.contiguous(), two = other.contiguous();
  const at::Tensor flips = at::zeros({1}, mask.options().dtype(at::kLong));
  kernels::cuda::mask_flips(device_bytes_of(one), device_bytes_of(two), one.numel(),
                            flips.mutable_data_ptr<int64_t>(), device.stream);
  return flips.item<int64_t>();
}

at::Tensor pack_mask(const at::Tensor& mask) {
  const OnDevice device(mask);
  at::Tensor bits = shapes::pack_mask(mask);
  const at::Tensor kept = mask.contiguous();
  kernels::cuda::pack_mask(device_bytes_of(kept), kept.numel(), mutable_device_bytes_of(bits),
                           device.stream);
  return bits;
}

at::Tensor unpack_mask(const at::Tensor& bits, c10::SymIntArrayRef shape) {
  const OnDevice device(bits);
  at::Tensor mask = shapes::unpack_mask(bits, shape);
  const at::Tensor packed = bits.contiguous();
  kernels::cuda::unpack_mask(device_bytes_of(packed), mask.numel(), mutable_device_bytes_of(mask),
                             device.stream);
  return mask;
}

std::tuple<at::Tensor, at::Tensor> soft_threshold24(const at::Tensor& weight, double scale) {
  const OnDevice device(weight);
  auto [out, mask] = shapes::soft_threshold24(weight, scale);
  const Rows in(weight.to(at::kFloat));
  const at::Tensor bits = at::zeros({(out.numel() + 7) / 8}, out.options().dtype(at::kByte));
  const at::Tensor counts = at::zeros({2}, out.options().dtype(at::kLong));
  tensor::with_type(out.scalar_type(), [&, &values = out](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::cuda::soft_threshold24<T>(
        in.data<float>(), in.rows, in.columns, in.stride, static_cast<float>(scale),
        static_cast<T*>(values.mutable_data_ptr()), bits.mutable_data_ptr<uint8_t>(),
        counts.mutable_data_ptr<int64_t>(), device.stream);
  });
  kernels::cuda::unpack_mask(device_bytes_of(bits), out.numel(), mutable_device_bytes_of(mask),
                             device.stream);
  return {out, mask};
}

double soft_threshold_scale(const at::Tensor& weight) {
  check_floating("the weight", weight);
  check_groups(weight, 4);
  const OnDevice device(weight);
  const Rows in(weight.to(at::kFloat));
  const at::Tensor memory = at::empty({1 + kernels::cuda::soft_threshold_workspace(weight.numel())},
                                      weight.options().dtype(at::kDouble));
  auto* scale = memory.mutable_data_ptr<double>();
  kernels::cuda::soft_threshold_scale(in.data<float>(), in.rows, in.columns, in.stride, scale + 1,
                                      scale, device.stream);
  return memory[0].item<double>();
}

at::Tensor round_to_float8(const at::Tensor& x, std::string_view format, double scale) {
  const OnDevice device(x);
  at::Tensor out = shapes::round_to_float8(x, format, scale);
  const at::Tensor in = x.contiguous();
  tensor::with_type(x.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::cuda::round_to_float8<T>(static_cast<const T*>(in.const_data_ptr()), in.numel(),
                                      float8_named(format), static_cast<float>(scale),
                                      static_cast<T*>(out.mutable_data_ptr()), device.stream);
  });
  return out;
}

double float8_scale(const at::Tensor& x, std::string_view format) {
  check_floating("x", x);
  const kernels::Float8 kind = float8_named(format);
  const OnDevice device(x);
  const at::Tensor in = x.contiguous();
  const at::Tensor amax = at::zeros({1}, x.options().dtype(at::kFloat));
  tensor::with_type(x.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::cuda::largest_magnitude<T>(static_cast<const T*>(in.const_data_ptr()), in.numel(),
                                        amax.mutable_data_ptr<float>(), device.stream);
  });
  return kernels::float8_scale(amax.item<float>(), kind);
}

std::tuple<at::Tensor, at::Tensor> pack24(const at::Tensor& weight,
                                          const std::optional<at::Tensor>& mask) {
  const OnDevice device(weight);
  auto [values, positions] = shapes::pack24(weight, mask);
  const Rows in(weight);
  const at::Tensor kept = mask ? mask->contiguous() : at::Tensor();
  const int64_t none = in.rows * in.columns;
  const at::Tensor violation = at::full({1}, none, weight.options().dtype(at::kLong));
  tensor::with_type(
      weight.scalar_type(), [&, &values = values, &positions = positions](auto* type) {
        using T = tensor::Pointee<decltype(type)>;
        kernels::cuda::pack24<T>(
            in.data<T>(), in.rows, in.columns, in.stride, mask ? device_bytes_of(kept) : nullptr,
            static_cast<T*>(values.mutable_data_ptr()), positions.mutable_data_ptr<uint8_t>(),
            violation.mutable_data_ptr<int64_t>(), device.stream);
      });
  const int64_t first = violation.item<int64_t>();
  if (first < none) {
    fail(
        "the matrix is not 2:4 sparse: row {} keeps more than two of the four entries from column "
        "{} on",
        first / in.columns, first % in.columns);
  }
  return {values, positions};
}

}  // namespace

at::Tensor mvue24(const at::Tensor& gradient, int64_t seed, c10::SymInt step,
                  c10::SymInt micro_batch, int64_t tensor, bool exact) {
  const OnDevice device(gradient);
  at::Tensor out = shapes::mvue24(gradient, seed, step, micro_batch, tensor, exact);
  const RandomStream numbers = stream_of(seed, step, micro_batch, tensor);
  const Rows in(gradient);
  tensor::with_type(gradient.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::cuda::mvue24<T>(in.data<T>(), in.rows, in.columns, in.stride, numbers,
                             static_cast<T*>(out.mutable_data_ptr()),
                             exact ? kernels::Mvue::kExact : kernels::Mvue::kApproximate,
                             device.stream);
  });
  return out;
}

at::Tensor unpack24(const at::Tensor& values, const at::Tensor& positions) {
  const OnDevice device(values);
  at::Tensor weight = shapes::unpack24(values, positions);
  const at::Tensor kept = values.contiguous(), places = positions.contiguous();
  tensor::with_type(values.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    kernels::cuda::unpack24<T>(static_cast<const T*>(kept.const_data_ptr()),
                               device_bytes_of(places), weight.size(0), weight.size(1),
                               static_cast<T*>(weight.mutable_data_ptr()), weight.stride(0),
                               device.stream);
  });
  return weight;
}

TORCH_LIBRARY_IMPL(twofour, CUDA, library) {
  library.impl("magnitude_mask", &magnitude_mask);
  library.impl("transposable_mask24", &transposable_mask24);
  library.impl("apply_mask", &apply_mask);
  library.impl("mask_flips", &mask_flips);
  library.impl("pack_mask", &pack_mask);
  library.impl("unpack_mask", &unpack_mask);
  library.impl("soft_threshold24", &soft_threshold24);
  library.impl("soft_threshold_scale", &soft_threshold_scale);
  library.impl("mvue24", &mvue24);
  library.impl("round_to_float8", &round_to_float8);
  library.impl("float8_scale", &float8_scale);
  library.impl("pack24", &pack24);
  library.impl("unpack24", &unpack24);
}

}  // namespace twofour::sparse::operators::on_cuda
