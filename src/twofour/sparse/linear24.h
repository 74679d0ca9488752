// A linear layer z = x Wᵀ + b whose forward weight and weight gradient may be 2:4 sparse. The three
// products of a training step (FST, arXiv 2404.01847, section 3; S-STE, arXiv 2409.09099, section
// 3):
//   z = x W̃ᵀ + b      dx = dz W̃      dW += estimate(dz)ᵀ x
#pragma once

#include <ATen/core/Tensor.h>

#include "twofour/base/random.h"
#include "twofour/sparse/float8.h"
#include "twofour/sparse/product24.h"
#include "twofour/sparse/soft_mask.h"
#include "twofour/sparse/weight24.h"
#include "twofour/tensor/choice.h"

namespace twofour::sparse {

/// The estimator of dW. kMvue draws an unbiased 2:4 sparse dz with groups along tokens
/// ("approximate" of arXiv 2203.10991, as in FST and S-STE); db stays exact.
enum class WeightGradient { kExact, kMvue };

/// kFloat8: operands are rounded to FP8, simulated (float8.h).
enum class Precision { kNative, kFloat8 };

/// One layer. Only `weight` and `bias` are parameters; the other members configure a step.
struct Linear {
  at::Tensor weight;  ///< [out, in], the master: float32 when training
  at::Tensor bias;    ///< [out], or undefined

  /// W̃ [out, in] and b in the compute dtype, made once per optimiser step. Undefined = the
  /// masters.
  at::Tensor forward_weight, forward_bias;
  WeightGradient weight_gradient = WeightGradient::kExact;
  RandomStream stream;  ///< MVUE's random numbers of this layer and micro-batch
  /// For a 2:4 W̃: its panels, notified of every change of W̃. Null: all products with W̃ are
  /// dense.
  c10::intrusive_ptr<Weight24> weight24;
  /// For FP8 products: the rounded W̃, also notified of every change. Null: native products.
  c10::intrusive_ptr<Float8Weight> float8;
  /// After keep_packed(): the weight; `weight` is then undefined.
  Packed packed;
  /// A mask to be learned, and its use by this copy of the layer. Null: none.
  std::shared_ptr<SoftMask> soft_mask;
  MaskUse mask_use = MaskUse::kLearn;
};

/// z [tokens, out] of x [tokens, in]. With gradients enabled, backward adds dW and db in float32
/// directly to weight.grad() and bias.grad(), which must exist, so a gradient is never a second
/// tensor; parameters that require no gradient get none. Several backward passes accumulate.
at::Tensor linear(const at::Tensor& x, const Linear& layer);

/// Whether the product of one token with the layer's 2:4 weight is faster from its packed form, by
/// measurements for its shape (choice.h).
bool packed_pays(const Linear& layer);

/// Packs the layer's weight and frees the dense one; throws Error with the first group that is not
/// 2:4. For inference: products of few tokens use the packed form, those of many a temporary dense
/// weight.
void keep_packed(Linear& layer);

/// The three products are only computed here. Each uses a 2:4 kernel or a dense product
/// (dense_product.h), whichever was measured to be faster for the shape (choice.h).
at::Tensor forward_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           Weight24* weight24 = nullptr);
/// The input gradient is measured as input_gradient_choice(). A W̃ that no 2:4 kernel can use on
/// that side only has dense candidates.
tensor::Product input_gradient_choice(const at::Tensor& weight, const Weight24& weight24);
at::Tensor input_gradient_product(const at::Tensor& dz, const at::Tensor& weight,
                                  Weight24* weight24 = nullptr);
void add_weight_gradient_product(const at::Tensor& dz, const at::Tensor& x, at::Tensor& gradient);

/// gradient += MVUE(dz)ᵀ x.
void add_estimated_weight_gradient(const at::Tensor& dz, const at::Tensor& x,
                                   const RandomStream& stream, at::Tensor& gradient);

}  // namespace twofour::sparse
