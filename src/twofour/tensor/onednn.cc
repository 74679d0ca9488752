#include "twofour/tensor/onednn.h"

#include <map>
#include <optional>

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/error.h"

namespace twofour::tensor {
namespace {

// An operator that libtorch's public headers do not declare.
at::Tensor call(const char* name, std::vector<c10::IValue> arguments) {
  const auto found = c10::Dispatcher::singleton().findSchema({name, ""});
  if (!found) fail("libtorch has no {}", name);
  found->callBoxed(&arguments);
  return arguments.at(0).toTensor();
}

}  // namespace

bool has_onednn(at::ScalarType dtype) {
  thread_local std::map<at::ScalarType, bool> known;
  const auto found = known.find(dtype);
  if (found != known.end()) return found->second;
  try {
    const at::Tensor x = at::zeros({8, 16}, at::TensorOptions().dtype(dtype));
    onednn_linear(x, reorder_for_onednn(x, 8), {});
    return known[dtype] = true;
  } catch (const std::exception&) {
    return known[dtype] = false;
  }
}

at::Tensor reorder_for_onednn(const at::Tensor& weight, int64_t tokens) {
  return call("mkldnn::_reorder_linear_weight", {weight, tokens});
}

at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const c10::List<std::optional<at::Scalar>> kNoScalars;
  return call(
      "mkldnn::_linear_pointwise",
      {x, weight, bias.defined() ? c10::IValue(bias) : c10::IValue(), "none", kNoScalars, ""});
}

}  // namespace twofour::tensor
