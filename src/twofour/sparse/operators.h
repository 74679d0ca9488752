// The operators torch.ops.twofour.*, for Python and for C++ that goes through PyTorch's dispatcher:
//
//   torch.ops.load_library("build/libtwofour_ops.so")
//   mask = torch.ops.twofour.magnitude_mask(weight, 2, 4)
//
// Each function below is the operator of that name; library.cc holds the schemas with their
// defaults. Matrices are [.., columns]: leading dimensions are rows, groups lie along the last one.
// float32, bfloat16 and float16; any strides; a result is contiguous. Masks come as bool and are
// taken as bool or uint8, anything but 0 meaning kept. Every failure is a RuntimeError of one line.
//
// A result depends neither on threads nor on the instruction set, but for the last bits of
// products. None keeps anything from call to call but which kernel was fastest for a shape.
// apply_mask, soft_threshold24, linear24 and linear24_prepared have gradients, of any order;
// differentiating another operator is an error. Those that return a number read the data:
// torch.compile breaks its graph there. Under torch.autocast products take its dtype, as F.linear
// does. Nested tensors are refused.
#pragma once

#include <optional>
#include <string_view>
#include <tuple>

#include <ATen/core/Tensor.h>

#include "twofour/sparse/prepared_weight.h"

namespace twofour::sparse::operators {

/// The `kept` largest magnitudes of every `group` consecutive entries, as bool of weight's shape:
/// see kernels/masks/mask.h.
at::Tensor magnitude_mask(const at::Tensor& weight, int64_t kept, int64_t group);

/// The best mask of weight [rows, columns] that is 2:4 along rows and along columns (FST, arXiv
/// 2404.01847, section 4.1). Both sizes are multiples of 4.
at::Tensor transposable_mask24(const at::Tensor& weight);

/// weight where `mask`, of the same shape, keeps it, 0 elsewhere. Gradient: the same of dout.
at::Tensor apply_mask(const at::Tensor& weight, const at::Tensor& mask);

/// The number of entries in which two masks of one shape differ.
int64_t mask_flips(const at::Tensor& mask, const at::Tensor& other);

/// The mask's entries in order, eight a byte, most significant bit first: uint8 [ceil(numel / 8)].
at::Tensor pack_mask(const at::Tensor& mask);

/// The mask of that shape that `bits` holds.
at::Tensor unpack_mask(const at::Tensor& bits, c10::SymIntArrayRef shape);

/// scale · S(weight) in weight's dtype, and the magnitude 2:4 mask of weight (S-STE, arXiv
/// 2409.09099, section 4.1). NaN stays NaN. Gradient: dout, straight through, without the factor
/// `scale`.
std::tuple<at::Tensor, at::Tensor> soft_threshold24(const at::Tensor& weight, double scale);

/// β = <w, S(w)> / <S(w), S(w)>, 1 where S(w) is zero everywhere, NaN where w has a NaN.
double soft_threshold_scale(const at::Tensor& weight);

/// An unbiased estimate of gradient [.., features] with at most two entries kept of every four
/// consecutive tokens of a feature (arXiv 2203.10991): see kernels/mvue/mvue.h. The numbers are a
/// function of (seed, step, micro_batch, tensor, position); these four are not negative and all but
/// the seed below 2^32. exact: the estimate of least variance instead of the approximate one.
at::Tensor mvue24(const at::Tensor& gradient, int64_t seed, c10::SymInt step,
                  c10::SymInt micro_batch, int64_t tensor, bool exact);

/// x rounded to what scale · x can be in "e4m3" or "e5m2", divided by scale: see kernels/fp8/fp8.h.
at::Tensor round_to_float8(const at::Tensor& x, std::string_view format, double scale);

/// The scale that brings the largest magnitude of x to the format's largest value; 1 where it is 0
/// or not finite, so where x has an infinity or a NaN.
double float8_scale(const at::Tensor& x, std::string_view format);

/// A 2:4 weight [rows, columns] as kernels/packed24/packed24.h stores it: values [rows, columns /
/// 2] and positions, uint8 [rows, ceil(columns / 8)]. Without a mask what is not 0 is kept; a group
/// with more than two such entries is an error that names it.
std::tuple<at::Tensor, at::Tensor> pack24(const at::Tensor& weight,
                                          const std::optional<at::Tensor>& mask);

/// The dense weight again.
at::Tensor unpack24(const at::Tensor& values, const at::Tensor& positions);

/// z [.., out] = x W̃ᵀ + bias of x [.., in] and W̃ = weight [out, in], or apply_mask(weight, mask)
/// where a mask is given. W̃ must be 2:4 along its rows: otherwise an error names a group that is
/// not; CUDA does not check. On the CPU the product runs on 2:4 kernels or dense ones, whichever
/// was measured to be faster for the shape, the time to prepare W̃ counted in (choice.h;
/// TWOFOUR_TUNE): W̃ is read anew in every call, because neither its address nor its version says
/// that it still holds the same values. A weight that stays as it is for many calls is prepared
/// once for linear24_prepared. On CUDA, ATen's semi-structured products run in 16 bits where `out`
/// is a multiple of 32 and `in` of 64, dense ones elsewhere.
///
/// Gradients, returned as usual: dx = dz W̃, db = the sum of dz over tokens, and
/// dW = estimate(dz)ᵀ x, straight through the mask. The estimate is dz itself, or with `mvue` its
/// mvue24 under the numbers that follow. transposable: W̃ is 2:4 along its columns too, and dx may
/// be a sparse product as well (FST); a column that is not is an error where the product that is
/// chosen reads columns, and right elsewhere. Gradients of gradients are right through the mask
/// too; those of a transposable dx or an estimated dW are an error.
at::Tensor linear24(const at::Tensor& x, const at::Tensor& weight,
                    const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& mask,
                    bool transposable, bool mvue, bool exact, int64_t seed, c10::SymInt step,
                    c10::SymInt micro_batch, int64_t tensor);

/// dx [tokens, in] = dz [tokens, out] W̃ of a W̃ [out, in] that is 2:4 along its columns, on 2:4
/// kernels or dense ones as in linear24.
at::Tensor input_gradient24(const at::Tensor& dz, const at::Tensor& weight);

/// dW [out, in] = mvue24(dz)ᵀ x of dz [tokens, out] and x [tokens, in], summed in float32; the
/// approximate estimate on 2:4 kernels or dense ones as in linear24.
at::Tensor weight_gradient24(const at::Tensor& dz, const at::Tensor& x, int64_t seed,
                             c10::SymInt step, c10::SymInt micro_batch, int64_t tensor, bool exact);

/// linear24 of a weight that pack24 stored, for inference.
at::Tensor linear24_packed(const at::Tensor& x, const at::Tensor& values,
                           const at::Tensor& positions, const std::optional<at::Tensor>& bias);

/// linear24 of a weight that its owner prepared, on the CPU, with gradients of x and of the bias:
///
///   prepared = torch.classes.twofour.Weight24(weight)    # copies it
///   z = torch.ops.twofour.linear24_prepared(x, prepared, bias)
///   prepared.update(weight)                              # after the weight has changed
///
/// prepared.dense() is a copy of its values; pickling stores them as pack24 does. See
/// prepared_weight.h. Under autocast x takes the weight's dtype. torch.compile breaks its graph
/// there; linear24 and linear24_packed are for graphs, torch.export and AOTInductor.
at::Tensor linear24_prepared(const at::Tensor& x, const c10::intrusive_ptr<PreparedWeight>& weight,
                             const std::optional<at::Tensor>& bias);

}  // namespace twofour::sparse::operators
