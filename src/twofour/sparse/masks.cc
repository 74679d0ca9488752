#include "twofour/sparse/masks.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "twofour/base/error.h"
#include "twofour/kernels/forward_weight/forward_weight.h"
#include "twofour/kernels/masks/mask.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::sparse {

at::Tensor packed_mask(const at::Tensor& mask) {
  const at::Tensor bytes = mask.contiguous();
  at::Tensor bits = at::empty({(bytes.numel() + 7) / 8}, at::TensorOptions().dtype(at::kByte));
  kernels::pack_mask(static_cast<const uint8_t*>(bytes.const_data_ptr()), bytes.numel(),
                     bits.mutable_data_ptr<uint8_t>());
  return bits;
}

at::Tensor unpacked_mask(const at::Tensor& bits, at::IntArrayRef sizes) {
  at::Tensor mask = at::empty(sizes, at::TensorOptions().dtype(at::kByte));
  kernels::unpack_mask(bits.const_data_ptr<uint8_t>(), mask.numel(),
                       mask.mutable_data_ptr<uint8_t>());
  return mask;
}

void check_maskable(const at::Tensor& weight, MaskSearch search, const std::string& name) {
  if (weight.size(1) % 4 != 0) {
    fail_usage("\"{}\" has {} inputs, which 4 does not divide: it cannot be 2:4 sparse", name,
               weight.size(1));
  }
  if (search == MaskSearch::kTransposable && weight.size(0) % 4 != 0) {
    fail_usage("\"{}\" has {} outputs, which 4 does not divide: its mask cannot be transposable",
               name, weight.size(0));
  }
}

int64_t search_mask(const at::Tensor& weight, MaskSearch search, at::Tensor& mask) {
  const int64_t rows = weight.size(0), columns = weight.size(1), entries = weight.numel();
  at::Tensor bytes = at::empty({entries}, at::TensorOptions().dtype(at::kByte));
  const auto* values = weight.const_data_ptr<float>();
  auto* kept = bytes.mutable_data_ptr<uint8_t>();
  if (search == MaskSearch::kTransposable) {
    kernels::transposable_mask24(values, rows, columns, columns, kept);
  } else {
    kernels::magnitude_mask(values, rows, columns, columns, 2, 4, kept);
  }
  at::Tensor found = at::empty_like(mask);
  kernels::pack_mask(kept, entries, found.mutable_data_ptr<uint8_t>());
  const int64_t flips =
      kernels::bit_flips(found.const_data_ptr<uint8_t>(), mask.const_data_ptr<uint8_t>(), entries);
  mask.copy_(found);
  return flips;
}

WeightCounts magnitude24(const at::Tensor& weight, at::Tensor& out, at::Tensor& mask) {
  return tensor::with_type(out.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    return kernels::magnitude24(weight.const_data_ptr<float>(), weight.numel(),
                                static_cast<T*>(out.mutable_data_ptr()),
                                mask.mutable_data_ptr<uint8_t>());
  });
}

int64_t masked_weight(const at::Tensor& weight, const at::Tensor& mask, at::Tensor& out) {
  return tensor::with_type(out.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    return kernels::masked_weight(weight.const_data_ptr<float>(), weight.numel(),
                                  mask.const_data_ptr<uint8_t>(),
                                  static_cast<T*>(out.mutable_data_ptr()));
  });
}

void add_masked_decay(const at::Tensor& weight, const at::Tensor& mask, double factor,
                      at::Tensor& target) {
  kernels::add_masked_decay(weight.const_data_ptr<float>(), mask.const_data_ptr<uint8_t>(),
                            weight.numel(), static_cast<float>(factor),
                            target.mutable_data_ptr<float>());
}

}  // namespace twofour::sparse
