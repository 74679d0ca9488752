// Masks, on the CPU.
#include "twofour/kernels/masks/mask.h"
#include "twofour/sparse/kernel_types.h"
#include "twofour/sparse/operators.h"
#include "twofour/sparse/operators_shapes.h"

namespace twofour::sparse::operators {
namespace {

// A bool is a byte of 0 or 1.
const uint8_t* bytes_of(const at::Tensor& mask) {
  return static_cast<const uint8_t*>(mask.const_data_ptr());
}

uint8_t* mutable_bytes_of(const at::Tensor& mask) {
  return static_cast<uint8_t*>(mask.mutable_data_ptr());
}

}  // namespace

at::Tensor magnitude_mask(const at::Tensor& weight, int64_t kept, int64_t group) {
  at::Tensor mask = shapes::magnitude_mask(weight, kept, group);
  const Rows in(weight);
  with_type(weight.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    kernels::magnitude_mask<T>(in.data<T>(), in.rows, in.columns, in.stride, static_cast<int>(kept),
                               static_cast<int>(group), mutable_bytes_of(mask));
  });
  return mask;
}

at::Tensor transposable_mask24(const at::Tensor& weight) {
  at::Tensor mask = shapes::transposable_mask24(weight);
  const Rows in(weight);
  with_type(weight.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    kernels::transposable_mask24<T>(in.data<T>(), in.rows, in.columns, in.stride,
                                    mutable_bytes_of(mask));
  });
  return mask;
}

at::Tensor apply_mask(const at::Tensor& weight, const at::Tensor& mask) {
  at::Tensor out = shapes::apply_mask(weight, mask);
  const Rows in(weight);
  const at::Tensor kept = mask.contiguous();
  with_type(weight.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    kernels::apply_mask<T>(in.data<T>(), in.rows, in.columns, in.stride, bytes_of(kept),
                           static_cast<T*>(out.mutable_data_ptr()));
  });
  return out;
}

int64_t mask_flips(const at::Tensor& mask, const at::Tensor& other) {
  check_masks(mask, other);
  const at::Tensor one = mask.contiguous(), two = other.contiguous();
  return kernels::mask_flips(bytes_of(one), bytes_of(two), one.numel());
}

at::Tensor pack_mask(const at::Tensor& mask) {
  at::Tensor bits = shapes::pack_mask(mask);
  const at::Tensor kept = mask.contiguous();
  kernels::pack_mask(bytes_of(kept), kept.numel(), mutable_bytes_of(bits));
  return bits;
}

at::Tensor unpack_mask(const at::Tensor& bits, c10::SymIntArrayRef shape) {
  at::Tensor mask = shapes::unpack_mask(bits, shape);
  const at::Tensor packed = bits.contiguous();
  kernels::unpack_mask(bytes_of(packed), mask.numel(), mutable_bytes_of(mask));
  return mask;
}

}  // namespace twofour::sparse::operators
