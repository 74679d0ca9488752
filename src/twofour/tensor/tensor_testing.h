// Shared by the tests of tensors.
#pragma once

#include <map>
#include <string>

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include "testing.h"

namespace twofour::tensor {

/// The tensors of one file of tests/golden, as float32.
class Golden {
 public:
  explicit Golden(const std::string& name) : tensors_(testing::golden(name)) {}

  at::Tensor operator[](const std::string& name) const {
    const testing::GoldenTensor& stored = tensors_.at(name);
    auto values = stored.floats();
    return at::from_blob(values.data(), stored.shape, at::TensorOptions().dtype(at::kFloat))
        .clone();
  }

 private:
  std::map<std::string, testing::GoldenTensor> tensors_;
};

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return a.to(at::kDouble).sub(b.to(at::kDouble)).abs().max().item<double>();
}

/// The difference relative to the largest entry of `expected`.
inline double relative_difference(const at::Tensor& is, const at::Tensor& expected) {
  return largest_difference(is, expected) / expected.to(at::kDouble).abs().max().item<double>();
}

}  // namespace twofour::tensor
