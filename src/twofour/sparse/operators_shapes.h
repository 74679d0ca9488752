// The common part of an operator's implementations for all devices: the checks of its arguments and
// its uninitialised results. These are also the operators' Meta kernels, from which torch.compile
// learns shapes; sizes may be symbolic.
#pragma once

#include <optional>
#include <string_view>
#include <tuple>

#include <ATen/core/Tensor.h>

#include "twofour/base/random.h"
#include "twofour/kernels/fp8/fp8.h"
#include "twofour/sparse/prepared_weight.h"

namespace twofour::sparse::operators {

namespace shapes {

at::Tensor magnitude_mask(const at::Tensor& weight, int64_t kept, int64_t group);
at::Tensor transposable_mask24(const at::Tensor& weight);
at::Tensor gram(const at::Tensor& x);
at::Tensor wanda_mask(const at::Tensor& weight, const at::Tensor& input_norm, int64_t kept,
                      int64_t group);
std::tuple<at::Tensor, at::Tensor> sparsegpt(const at::Tensor& weight, const at::Tensor& hessian,
                                             int64_t kept, int64_t group, double sparsity,
                                             int64_t block, double damping, bool update);
at::Tensor swap_mask(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& hessian,
                     int64_t kept, int64_t group);
at::Tensor apply_mask(const at::Tensor& weight, const at::Tensor& mask);
at::Tensor pack_mask(const at::Tensor& mask);
at::Tensor unpack_mask(const at::Tensor& bits, c10::SymIntArrayRef shape);
std::tuple<at::Tensor, at::Tensor> soft_threshold24(const at::Tensor& weight, double scale);
at::Tensor soft_mask(const at::Tensor& logits, double kappa, double tau,
                     const std::optional<at::Tensor>& gumbel, int64_t seed, c10::SymInt step,
                     c10::SymInt micro_batch, int64_t tensor, int64_t kept, int64_t group,
                     bool hard);
at::Tensor soft_mask_gradient(const at::Tensor& dsoft, const at::Tensor& logits, double kappa,
                              double tau, const std::optional<at::Tensor>& gumbel, int64_t seed,
                              c10::SymInt step, c10::SymInt micro_batch, int64_t tensor,
                              int64_t kept, int64_t group, bool hard);
at::Tensor add_prior(const at::Tensor& logits, const at::Tensor& mask, double strength);
at::Tensor mvue24(const at::Tensor& gradient, int64_t seed, c10::SymInt step,
                  c10::SymInt micro_batch, int64_t tensor, bool exact);
at::Tensor round_to_float8(const at::Tensor& x, std::string_view format, double scale);
std::tuple<at::Tensor, at::Tensor> pack24(const at::Tensor& weight,
                                          const std::optional<at::Tensor>& mask);
at::Tensor unpack24(const at::Tensor& values, const at::Tensor& positions);
at::Tensor linear24(const at::Tensor& x, const at::Tensor& weight,
                    const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& mask,
                    bool transposable, bool mvue, bool exact, int64_t seed, c10::SymInt step,
                    c10::SymInt micro_batch, int64_t tensor);
at::Tensor input_gradient24(const at::Tensor& dz, const at::Tensor& weight);
at::Tensor weight_gradient24(const at::Tensor& dz, const at::Tensor& x, int64_t seed,
                             c10::SymInt step, c10::SymInt micro_batch, int64_t tensor, bool exact);
at::Tensor linear24_packed(const at::Tensor& x, const at::Tensor& values,
                           const at::Tensor& positions, const std::optional<at::Tensor>& bias);
at::Tensor linear24_prepared(const at::Tensor& x, const c10::intrusive_ptr<PreparedWeight>& weight,
                             const std::optional<at::Tensor>& bias);

}  // namespace shapes

/// Throws Error unless `tensor`, named `what`, is float32, bfloat16 or float16.
void check_floating(const char* what, const at::Tensor& tensor);

/// Throws Error unless `mask` is bool or uint8.
void check_mask(const at::Tensor& mask);

/// Throws Error unless both masks have the same shape and device.
void check_masks(const at::Tensor& mask, const at::Tensor& other);

/// Throws Error unless weight's last dimension is a multiple of `group`.
void check_groups(const at::Tensor& weight, int64_t group);

/// Throws Error unless the name is "e4m3" or "e5m2".
kernels::Float8 float8_named(std::string_view format);

/// Throws Error if a number does not fit the stream.
RandomStream stream_of(int64_t seed, const c10::SymInt& step, const c10::SymInt& micro_batch,
                       int64_t tensor);

/// A tensor of any number of dimensions as rows along its last one. The kernels read it in place if
/// the strides allow it.
struct Rows {
  explicit Rows(const at::Tensor& tensor);

  at::Tensor tensor;  ///< owns the memory of `data`
  int64_t rows = 0, columns = 0, stride = 0;

  template <class T>
  const T* data() const {
    return static_cast<const T*>(tensor.const_data_ptr());
  }
};

}  // namespace twofour::sparse::operators
