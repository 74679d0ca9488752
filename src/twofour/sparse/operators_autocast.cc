// The operators under torch.autocast: products use its dtype, like F.linear. The others run in the
// dtype of their arguments.
#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include "twofour/sparse/operators.h"
#include "twofour/sparse/operators_dispatch.h"

// From ATen/autocast_mode.h, which includes every operator.
namespace at::autocast {
TORCH_API at::ScalarType get_autocast_dtype(at::DeviceType device_type);
TORCH_API at::Tensor cached_cast(at::ScalarType to_type, const at::Tensor& arg,
                                 c10::DeviceType device_type);
}  // namespace at::autocast

namespace twofour::sparse::operators {
namespace {

using OptionalTensor = std::optional<at::Tensor>;

at::Tensor cast_to(at::ScalarType dtype, const at::Tensor& operand, c10::DeviceType device) {
  return at::autocast::cached_cast(dtype, operand, device);
}

OptionalTensor cast_to(at::ScalarType dtype, const OptionalTensor& operand,
                       c10::DeviceType device) {
  if (!operand || !operand->defined()) return operand;
  return cast_to(dtype, *operand, device);
}

// The products on one kind of device, with autocast key kKey.
template <c10::DeviceType kDevice, c10::DispatchKey kKey>
struct Products {
  // Excludes autocast in inner calls.
  struct Done {
    c10::impl::ExcludeDispatchKeyGuard guard{kKey};
  };

  template <class Operand>
  static Operand cast(const Operand& operand) {
    return cast_to(at::autocast::get_autocast_dtype(kDevice), operand, kDevice);
  }

  static at::Tensor linear(const at::Tensor& x, const at::Tensor& weight,
                           const OptionalTensor& bias, const OptionalTensor& mask,
                           bool transposable, bool mvue, bool exact, int64_t seed, c10::SymInt step,
                           c10::SymInt micro_batch, int64_t tensor) {
    const Done done;
    static const auto op = dispatched("twofour::linear24", &linear24);
    return op.call(cast(x), cast(weight), cast(bias), mask, transposable, mvue, exact, seed, step,
                   micro_batch, tensor);
  }

  static at::Tensor input_gradient(const at::Tensor& dz, const at::Tensor& weight) {
    const Done done;
    static const auto op = dispatched("twofour::input_gradient24", &input_gradient24);
    return op.call(cast(dz), cast(weight));
  }

  static at::Tensor weight_gradient(const at::Tensor& dz, const at::Tensor& x, int64_t seed,
                                    c10::SymInt step, c10::SymInt micro_batch, int64_t tensor,
                                    bool exact) {
    const Done done;
    static const auto op = dispatched("twofour::weight_gradient24", &weight_gradient24);
    return op.call(cast(dz), cast(x), seed, step, micro_batch, tensor, exact);
  }

  static at::Tensor linear_packed(const at::Tensor& x, const at::Tensor& values,
                                  const at::Tensor& positions, const OptionalTensor& bias) {
    const Done done;
    static const auto op = dispatched("twofour::linear24_packed", &linear24_packed);
    return op.call(cast(x), cast(values), positions, cast(bias));
  }

  static void add_to(torch::Library& library) {
    library.impl("linear24", &linear);
    library.impl("input_gradient24", &input_gradient);
    library.impl("weight_gradient24", &weight_gradient);
    library.impl("linear24_packed", &linear_packed);
  }
};

// A prepared weight keeps its dtype, so its operands are converted to it.
at::Tensor autocast_linear24_prepared(const at::Tensor& x,
                                      const c10::intrusive_ptr<PreparedWeight>& weight,
                                      const OptionalTensor& bias) {
  const c10::impl::ExcludeDispatchKeyGuard done(c10::DispatchKey::AutocastCPU);
  static const auto op = dispatched("twofour::linear24_prepared", &linear24_prepared);
  const at::ScalarType dtype = weight->dense().scalar_type();
  return op.call(cast_to(dtype, x, at::kCPU), weight, cast_to(dtype, bias, at::kCPU));
}

}  // namespace

TORCH_LIBRARY_IMPL(twofour, AutocastCPU, library) {
  Products<at::kCPU, c10::DispatchKey::AutocastCPU>::add_to(library);
  library.impl("linear24_prepared", &autocast_linear24_prepared);
}

TORCH_LIBRARY_IMPL(twofour, AutocastCUDA, library) {
  Products<at::kCUDA, c10::DispatchKey::AutocastCUDA>::add_to(library);
}

}  // namespace twofour::sparse::operators
