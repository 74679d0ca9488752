// The operators torch.ops.twofour.*, for Python and for C++ through PyTorch's dispatcher:
//
//   torch.ops.load_library("build/libtwofour_ops.so")
//   mask = torch.ops.twofour.magnitude_mask(weight, 2, 4)
//
// Each function below is the operator of that name; library.cc has the schemas with their defaults.
// Matrices are [.., columns]: leading dimensions are rows, groups lie along the last one. They are
// float32, bfloat16 or float16 with any strides; results are contiguous. Masks are returned as bool
// and accepted as bool or uint8 (nonzero: kept). Every failure is a RuntimeError of one line.
//
// Results are independent of threads and, except for the last bits of products, of the instruction
// set. Between calls only the fastest kernel of each shape is kept. apply_mask, soft_threshold24,
// linear24 and linear24_prepared have gradients, of any order, soft_mask of first order;
// differentiating another operator is an error. Operators that return a number read the data, so
// torch.compile breaks its graph there. Under torch.autocast products use its dtype, like F.linear.
// Nested tensors are refused.
#pragma once

#include <optional>
#include <string_view>
#include <tuple>

#include <ATen/core/Tensor.h>

#include "twofour/sparse/prepared_weight.h"

namespace twofour::sparse::operators {

/// The `kept` largest magnitudes of every `group` consecutive entries, as bool of weight's shape;
/// see kernels/masks/mask.h.
at::Tensor magnitude_mask(const at::Tensor& weight, int64_t kept, int64_t group);

/// The best mask of weight [rows, columns] that is 2:4 along rows and along columns (FST, arXiv
/// 2404.01847, section 4.1). Both sizes are multiples of 4.
at::Tensor transposable_mask24(const at::Tensor& weight);

/// xᵀx of x [.., in], summed over all leading dimensions in float32: [in, in], the Gram matrix of a
/// layer's inputs, with little more than half of the arithmetic of the full product.
at::Tensor gram(const at::Tensor& x);

/// Wanda's mask of weight [out, in] (arXiv 2306.11695): the `kept` largest |weight| · input_norm of
/// every `group` consecutive entries, 0 < kept < group <= 8. input_norm [in] holds the norms of the
/// layer's inputs over the calibration tokens.
at::Tensor wanda_mask(const at::Tensor& weight, const at::Tensor& input_norm, int64_t kept,
                      int64_t group);

/// SparseGPT (arXiv 2301.00774): the pruned weight [out, in] in weight's dtype, and its mask.
/// hessian [in, in] is the Gram matrix of the layer's inputs, float64 too, up to any factor.
/// kept = group = 0: unstructured, a share `sparsity` of every `block` columns. update=False: the
/// mask of the untouched weights' scores, and weight under it.
/// Weights, Hessian and norms must be finite, here and in swap_mask and wanda_mask.
std::tuple<at::Tensor, at::Tensor> sparsegpt(const at::Tensor& weight, const at::Tensor& hessian,
                                             int64_t kept, int64_t group, double sparsity,
                                             int64_t block, double damping, bool update);

/// The mask with `kept` of every `group` entries after swaps of a kept and a removed entry of a
/// group, until none lowers the layer's error (SparseSwaps, arXiv 2512.10922). The weights stay.
at::Tensor swap_mask(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& hessian,
                     int64_t kept, int64_t group);

/// weight where `mask`, of the same shape, keeps it, 0 elsewhere. Gradient: dout, masked likewise.
at::Tensor apply_mask(const at::Tensor& weight, const at::Tensor& mask);

/// The number of entries in which two masks of one shape differ.
int64_t mask_flips(const at::Tensor& mask, const at::Tensor& other);

/// The mask's entries in order, eight a byte, most significant bit first: uint8 [ceil(numel / 8)].
at::Tensor pack_mask(const at::Tensor& mask);

/// The mask of that shape from `bits`.
at::Tensor unpack_mask(const at::Tensor& bits, c10::SymIntArrayRef shape);

/// scale · S(weight) in weight's dtype, and the magnitude 2:4 mask of weight (S-STE, arXiv
/// 2409.09099, section 4.1). NaN stays NaN. Gradient: dout, straight through, without the factor
/// `scale`.
std::tuple<at::Tensor, at::Tensor> soft_threshold24(const at::Tensor& weight, double scale);

/// β = <w, S(w)> / <S(w), S(w)>, 1 if S(w) is zero everywhere, NaN if w has a NaN.
double soft_threshold_scale(const at::Tensor& weight);

/// The masks of MaskLLM (arXiv 2409.17481, section 3.3) for logits [.., C], one for each way to
/// keep `kept` of `group` entries, C <= 70, in the order 1100, 1010, 1001, 0110, 0101, 0011 for
/// 2:4: y = softmax((kappa · logits + g) / tau) times the candidates, [.., group] in the dtype of
/// the logits; with `hard` the candidate with the largest y. Arithmetic is float32. g is `gumbel`
/// (of the logits' shape), otherwise drawn: a function of (seed, step, micro_batch, tensor,
/// position), as in mvue24; with a negative seed, zero. Gradient: of the logits, with `hard`
/// straight through; it is not differentiable itself. A NaN makes its group NaN.
at::Tensor soft_mask(const at::Tensor& logits, double kappa, double tau,
                     const std::optional<at::Tensor>& gumbel, int64_t seed, c10::SymInt step,
                     c10::SymInt micro_batch, int64_t tensor, int64_t kept, int64_t group,
                     bool hard);

/// The gradient of the logits [.., C], for dsoft [.., group].
at::Tensor soft_mask_gradient(const at::Tensor& dsoft, const at::Tensor& logits, double kappa,
                              double tau, const std::optional<at::Tensor>& gumbel, int64_t seed,
                              c10::SymInt step, c10::SymInt micro_batch, int64_t tensor,
                              int64_t kept, int64_t group, bool hard);

/// The logits [.., C] of a prior (section 3.4): logits + (<mask, S_k> - kept²/group) · s · strength
/// for candidate S_k, with s the unbiased standard deviation of all logits. mask [.., group] keeps
/// the same number of entries in every group; otherwise an error names one that differs.
at::Tensor add_prior(const at::Tensor& logits, const at::Tensor& mask, double strength);

/// An unbiased estimate of gradient [.., features] with at most two entries kept of every four
/// consecutive tokens of a feature (arXiv 2203.10991); see kernels/mvue/mvue.h. The random numbers
/// are a function of (seed, step, micro_batch, tensor, position); these four are not negative, and
/// all but the seed are below 2^32. exact: the estimate of least variance instead of the
/// approximate one.
at::Tensor mvue24(const at::Tensor& gradient, int64_t seed, c10::SymInt step,
                  c10::SymInt micro_batch, int64_t tensor, bool exact);

/// x rounded to the values of "e4m3" or "e5m2" after scaling, divided by scale; see
/// kernels/fp8/fp8.h.
at::Tensor round_to_float8(const at::Tensor& x, std::string_view format, double scale);

/// The scale that maps the largest magnitude of x to the format's largest value; 1 if that
/// magnitude is 0 or not finite (x has an infinity or a NaN).
double float8_scale(const at::Tensor& x, std::string_view format);

/// A 2:4 weight [rows, columns] in the form of kernels/packed24/packed24.h: values [rows, columns /
/// 2] and positions, uint8 [rows, ceil(columns / 8)]. Without a mask nonzero entries are kept; a
/// group with more than two of them is an error that names it.
std::tuple<at::Tensor, at::Tensor> pack24(const at::Tensor& weight,
                                          const std::optional<at::Tensor>& mask);

/// Restores the dense weight.
at::Tensor unpack24(const at::Tensor& values, const at::Tensor& positions);

/// z [.., out] = x W̃ᵀ + bias of x [.., in] and W̃ = weight [out, in], or apply_mask(weight, mask)
/// with a mask. W̃ must be 2:4 along its rows: otherwise an error names a group that is not; CUDA
/// does not check. On the CPU the product runs on 2:4 kernels or dense ones, whichever was measured
/// to be faster for the shape, including the time to prepare W̃ (choice.h; TWOFOUR_TUNE). W̃ is
/// read anew in every call, because neither its address nor its version shows whether its values
/// changed. A weight that is constant over many calls is prepared once for linear24_prepared. On
/// CUDA, ATen's semi-structured products run in 16 bits if `out` is a multiple of 32 and `in` of
/// 64, dense ones otherwise.
///
/// Gradients, returned as usual: dx = dz W̃, db = the sum of dz over tokens, and dW = estimate(dz)ᵀ
/// x, straight through the mask. The estimate is dz itself, or with `mvue` its mvue24 with the
/// random numbers that follow. transposable: W̃ is also 2:4 along its columns, so dx may be a
/// sparse product (FST). A column that is not 2:4 is an error if the chosen product reads columns,
/// and correct otherwise. Gradients of gradients are correct, also through the mask; those of a
/// transposable dx or an estimated dW are an error.
at::Tensor linear24(const at::Tensor& x, const at::Tensor& weight,
                    const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& mask,
                    bool transposable, bool mvue, bool exact, int64_t seed, c10::SymInt step,
                    c10::SymInt micro_batch, int64_t tensor);

/// dx [tokens, in] = dz [tokens, out] W̃ of a W̃ [out, in] that is 2:4 along its columns, on 2:4
/// kernels or dense ones as in linear24.
at::Tensor input_gradient24(const at::Tensor& dz, const at::Tensor& weight);

/// dW [out, in] = mvue24(dz)ᵀ x of dz [tokens, out] and x [tokens, in], summed in float32; with the
/// approximate estimate on 2:4 kernels or dense ones as in linear24.
at::Tensor weight_gradient24(const at::Tensor& dz, const at::Tensor& x, int64_t seed,
                             c10::SymInt step, c10::SymInt micro_batch, int64_t tensor, bool exact);

/// linear24 of a weight from pack24, for inference.
at::Tensor linear24_packed(const at::Tensor& x, const at::Tensor& values,
                           const at::Tensor& positions, const std::optional<at::Tensor>& bias);

/// linear24 of a weight that its owner prepared, on the CPU, with gradients of x and of the bias:
///
///   prepared = torch.classes.twofour.Weight24(weight)    # copies it
///   z = torch.ops.twofour.linear24_prepared(x, prepared, bias)
///   prepared.update(weight)                              # after the weight has changed
///
/// prepared.dense() is a copy of its values; pickling stores them in the form of pack24. See
/// prepared_weight.h. Under autocast x is converted to the weight's dtype. torch.compile breaks its
/// graph there; graphs, torch.export and AOTInductor need linear24 and linear24_packed.
at::Tensor linear24_prepared(const at::Tensor& x, const c10::intrusive_ptr<PreparedWeight>& weight,
                             const std::optional<at::Tensor>& bias);

}  // namespace twofour::sparse::operators
