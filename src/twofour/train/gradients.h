#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace twofour::train {

/// The float32 gradients of all parameters in one buffer, so that processes sum them in one
/// operation. Each parameter's .grad() is a view of it.
class FlatGradients {
 public:
  /// All zero. The views live as long as `parameters`.
  explicit FlatGradients(const std::vector<std::pair<std::string, at::Tensor>>& parameters);

  at::Tensor& values() { return values_; }  ///< one-dimensional, with zeros between the views
  void clear() { values_.zero_(); }

 private:
  at::Tensor values_;
};

}  // namespace twofour::train
