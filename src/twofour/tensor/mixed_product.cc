#include "twofour/tensor/mixed_product.h"

#include <algorithm>

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include "twofour/tensor/blas.h"

namespace twofour::tensor {
namespace {

constexpr int64_t kTokens = 1024;               // per block
constexpr int64_t kEntries = int64_t{1} << 22;  // largest block of a weight or of sums
constexpr int64_t kLeastRows = 64;              // smallest block of a weight

// Calls fn(first, count) for blocks that cover [0, size).
template <class Fn>
void for_blocks(int64_t size, int64_t block, Fn&& fn) {
  for (int64_t first = 0; first < size; first += block) fn(first, std::min(block, size - first));
}

int64_t rows_of_block(const at::Tensor& weight) {
  const int64_t columns = std::max<int64_t>(weight.size(1), 1);
  return std::clamp<int64_t>(kEntries / columns, kLeastRows, kEntries / kTokens);
}

class Multiplier {
 public:
  // Without MKL, kMkl converts, because the choice may come from a process with MKL.
  Multiplier(MixedMeans means, at::ScalarType dtype)
      : mkl_(means == MixedMeans::kMkl && can_multiply(means, dtype) ? Blas::mkl() : nullptr) {}

  // A part of an operand in the form of multiply().
  at::Tensor operand(const at::Tensor& part) const {
    if (!mkl_) return part.to(at::kFloat);
    return part.stride(0) == 1 || part.stride(1) == 1 ? part : part.contiguous();
  }

  // sums (float32) = a b, or += a b.
  void multiply(const at::Tensor& a, const at::Tensor& b, bool adds, at::Tensor& sums) const {
    if (mkl_) {
      mkl_->multiply(a, b, adds ? 1.0f : 0.0f, sums);
    } else if (adds) {
      sums.addmm_(a, b);
    } else {
      at::mm_out(sums, a, b);
    }
  }

 private:
  const Blas* mkl_;
};

at::Tensor empty_sums(int64_t rows, int64_t columns) {
  return at::empty({rows, columns}, at::TensorOptions().dtype(at::kFloat));
}

}  // namespace

bool can_multiply(MixedMeans means, at::ScalarType dtype) {
  if (dtype != at::kBFloat16 && dtype != at::kHalf) return false;
  return means == MixedMeans::kFloat32 || (Blas::mkl() && Blas::mkl()->takes(dtype));
}

at::Tensor mixed_product(MixedMeans means, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& bias) {
  const Multiplier multiplier(means, x.scalar_type());
  const at::Tensor wide_bias = bias.defined() ? bias.to(at::kFloat) : bias;
  at::Tensor z = at::empty({x.size(0), weight.size(0)}, x.options());
  for_blocks(x.size(0), kTokens, [&](int64_t first, int64_t tokens) {
    const at::Tensor a = multiplier.operand(x.narrow(0, first, tokens));
    for_blocks(weight.size(0), rows_of_block(weight), [&](int64_t row, int64_t rows) {
      const at::Tensor b = multiplier.operand(weight.narrow(0, row, rows));
      at::Tensor sums = empty_sums(tokens, rows);
      if (bias.defined()) sums.copy_(wide_bias.narrow(0, row, rows).expand_as(sums));
      multiplier.multiply(a, b.t(), /*adds=*/bias.defined(), sums);
      z.narrow(0, first, tokens).narrow(1, row, rows).copy_(sums);
    });
  });
  return z;
}

at::Tensor mixed_input_gradient(MixedMeans means, const at::Tensor& dz, const at::Tensor& weight) {
  const Multiplier multiplier(means, dz.scalar_type());
  at::Tensor dx = at::empty({dz.size(0), weight.size(1)}, dz.options());
  for_blocks(dz.size(0), kTokens, [&](int64_t first, int64_t tokens) {
    at::Tensor sums = empty_sums(tokens, weight.size(1));
    for_blocks(weight.size(0), rows_of_block(weight), [&](int64_t row, int64_t rows) {
      const at::Tensor part = dz.narrow(0, first, tokens).narrow(1, row, rows);
      multiplier.multiply(multiplier.operand(part), multiplier.operand(weight.narrow(0, row, rows)),
                          /*adds=*/row > 0, sums);
    });
    dx.narrow(0, first, tokens).copy_(sums);
  });
  return dx;
}

void add_mixed_weight_gradient(MixedMeans means, const at::Tensor& dz, const at::Tensor& x,
                               at::Tensor& gradient) {
  const Multiplier multiplier(means, dz.scalar_type());
  for_blocks(x.size(0), kTokens, [&](int64_t first, int64_t tokens) {
    const at::Tensor b = multiplier.operand(x.narrow(0, first, tokens));
    for_blocks(gradient.size(0), rows_of_block(gradient), [&](int64_t row, int64_t rows) {
      const at::Tensor part = dz.narrow(0, first, tokens).narrow(1, row, rows);
      at::Tensor sums = gradient.narrow(0, row, rows);
      multiplier.multiply(multiplier.operand(part).t(), b, /*adds=*/true, sums);
    });
  });
}

}  // namespace twofour::tensor
