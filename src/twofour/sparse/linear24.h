// A linear layer z = x Wᵀ + b whose forward weight and weight gradient may be 2:4 sparse. The three
// products of a training step (FST, arXiv 2404.01847, section 3; S-STE, arXiv 2409.09099, section
// 4):
//   z = x W̃ᵀ + b      dx = dz W̃      dW += estimate(dz)ᵀ x
#pragma once

#include <ATen/core/Tensor.h>

#include "twofour/base/random.h"
#include "twofour/sparse/float8.h"
#include "twofour/sparse/product24.h"
#include "twofour/sparse/weight24.h"
#include "twofour/tensor/choice.h"

namespace twofour::sparse {

/// How dW is estimated. kMvue draws an unbiased 2:4 sparse dz with groups along tokens
/// ("approximate" of arXiv 2203.10991, as FST and S-STE use it); db stays exact.
enum class WeightGradient { kExact, kMvue };

/// kFloat8: operands rounded to FP8, simulated (float8.h).
enum class Precision { kNative, kFloat8 };

/// One layer. Only `weight` and `bias` are parameters; the rest says how a step uses them.
struct Linear {
  at::Tensor weight;  ///< [out, in], the master: float32 when training
  at::Tensor bias;    ///< [out], or undefined

  /// W̃ [out, in] and b in the compute dtype, made once per optimiser step. Undefined = the masters.
  at::Tensor forward_weight, forward_bias;
  WeightGradient weight_gradient = WeightGradient::kExact;
  RandomStream stream;  ///< MVUE's numbers of this layer and micro-batch
  /// Where W̃ is 2:4: its panels, told of every change of W̃. Null: all products with W̃ are dense.
  c10::intrusive_ptr<Weight24> weight24;
  /// Where products are FP8: W̃ rounded, told of every change as well. Null: native products.
  c10::intrusive_ptr<Float8Weight> float8;
  /// Where keep_packed() was called: the weight, and `weight` is undefined.
  Packed packed;
};

/// z [tokens, out] of x [tokens, in]. With gradients enabled, backward adds dW and db in float32
/// straight into weight.grad() and bias.grad(), which exist from the start: a gradient is never a
/// second tensor. Several backward passes accumulate.
at::Tensor linear(const at::Tensor& x, const Linear& layer);

/// Whether the product of one token with the layer's 2:4 weight is faster from its packed form, as
/// measured for its shape (choice.h).
bool packed_pays(const Linear& layer);

/// Packs the layer's weight, an Error naming the first group that is not 2:4, and lets go of the
/// dense one. For inference: few tokens are multiplied from the packed form, for many a dense
/// weight is made each time.
void keep_packed(Linear& layer);

/// The only places where the three products are computed. Each takes a 2:4 kernel or a dense
/// product (dense_product.h), whichever was measured to be faster for the shape (choice.h).
at::Tensor forward_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           Weight24* weight24 = nullptr);
/// The input gradient is asked for as input_gradient_choice(): a W̃ that no 2:4 kernel takes on that
/// side has dense candidates only.
tensor::Product input_gradient_choice(const at::Tensor& weight, const Weight24& weight24);
at::Tensor input_gradient_product(const at::Tensor& dz, const at::Tensor& weight,
                                  Weight24* weight24 = nullptr);
void add_weight_gradient_product(const at::Tensor& dz, const at::Tensor& x, at::Tensor& gradient);

/// gradient += MVUE(dz)ᵀ x.
void add_estimated_weight_gradient(const at::Tensor& dz, const at::Tensor& x,
                                   const RandomStream& stream, at::Tensor& gradient);

}  // namespace twofour::sparse
