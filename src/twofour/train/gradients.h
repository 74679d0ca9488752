#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace twofour::train {

/// The float32 gradients of all parameters in one piece of memory, so that processes add them up
/// in one go. Each parameter's .grad() is a view of it.
class FlatGradients {
 public:
  /// All zero. `parameters` keep their views as long as they live.
  explicit FlatGradients(const std::vector<std::pair<std::string, at::Tensor>>& parameters);

  at::Tensor& values() { return values_; }  ///< one dimension; zeros lie between the views
  void clear() { values_.zero_(); }

 private:
  at::Tensor values_;
};

}  // namespace twofour::train
