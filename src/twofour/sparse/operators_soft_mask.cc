// Learned masks, on the CPU.
#include <algorithm>

#include <ATen/ops/empty.h>
#include <ATen/ops/std.h>

#include "twofour/base/error.h"
#include "twofour/kernels/soft_mask/soft_mask.h"
#include "twofour/sparse/operators.h"
#include "twofour/sparse/operators_shapes.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::sparse::operators {
namespace {

// The options, and the numbers to which they point.
struct MaskOptions {
  MaskOptions(double kappa, double tau, const std::optional<at::Tensor>& given, int64_t seed,
              const c10::SymInt& step, const c10::SymInt& micro_batch, int64_t tensor, bool hard) {
    options.kappa = static_cast<float>(kappa);
    options.tau = static_cast<float>(tau);
    if (hard) options.choice = kernels::Choice::kHard;
    if (given && given->defined()) {
      gumbel = given->detach().to(at::kFloat).contiguous();
      options.noise = kernels::Noise::kGiven;
      options.gumbel = gumbel.const_data_ptr<float>();
    } else if (seed >= 0) {
      options.noise = kernels::Noise::kDrawn;
      options.stream = stream_of(seed, step, micro_batch, tensor);
    }
  }

  at::Tensor gumbel;
  kernels::SoftMaskOptions options;
};

at::Tensor empty_floats(const at::Tensor& like) {
  return at::empty(like.sizes(), like.options().dtype(at::kFloat));
}

// The number of entries that every group of a mask [groups, group] keeps.
int64_t kept_of_groups(const at::Tensor& mask, int64_t group) {
  const auto* const bytes = static_cast<const uint8_t*>(mask.const_data_ptr());
  const auto kept_of = [&](int64_t g) {
    return group - std::count(bytes + g * group, bytes + (g + 1) * group, uint8_t{0});
  };
  const int64_t groups = mask.numel() / group, kept = kept_of(0);
  if (kept == 0 || kept == group) {
    fail("the prior's group 0 keeps {} of {} entries, but a pattern keeps some and removes some",
         kept, group);
  }
  for (int64_t g = 1; g < groups; ++g) {
    if (kept_of(g) != kept) {
      fail("the prior's group {} keeps {} of {} entries, but group 0 keeps {}", g, kept_of(g),
           group, kept);
    }
  }
  return kept;
}

}  // namespace

at::Tensor soft_mask(const at::Tensor& logits, double kappa, double tau,
                     const std::optional<at::Tensor>& gumbel, int64_t seed, c10::SymInt step,
                     c10::SymInt micro_batch, int64_t tensor, int64_t kept, int64_t group,
                     bool hard) {
  const at::Tensor result = shapes::soft_mask(logits, kappa, tau, gumbel, seed, step, micro_batch,
                                              tensor, kept, group, hard);
  const MaskOptions given(kappa, tau, gumbel, seed, step, micro_batch, tensor, hard);
  const kernels::Candidates candidates(kept, group);
  const at::Tensor values = logits.contiguous();
  at::Tensor soft = empty_floats(result);
  tensor::with_type(values.scalar_type(), [&](auto* type) {
    using L = tensor::Pointee<decltype(type)>;
    kernels::soft_mask(static_cast<const L*>(values.const_data_ptr()),
                       values.numel() / candidates.count(), candidates, given.options,
                       soft.mutable_data_ptr<float>());
  });
  return soft.to(logits.scalar_type());
}

at::Tensor soft_mask_gradient(const at::Tensor& dsoft, const at::Tensor& logits, double kappa,
                              double tau, const std::optional<at::Tensor>& gumbel, int64_t seed,
                              c10::SymInt step, c10::SymInt micro_batch, int64_t tensor,
                              int64_t kept, int64_t group, bool hard) {
  const at::Tensor result = shapes::soft_mask_gradient(
      dsoft, logits, kappa, tau, gumbel, seed, step, micro_batch, tensor, kept, group, hard);
  const MaskOptions given(kappa, tau, gumbel, seed, step, micro_batch, tensor, hard);
  const kernels::Candidates candidates(kept, group);
  const at::Tensor values = logits.contiguous(), gradient = dsoft.to(at::kFloat).contiguous();
  at::Tensor dlogits = empty_floats(result);
  tensor::with_type(values.scalar_type(), [&](auto* type) {
    using L = tensor::Pointee<decltype(type)>;
    kernels::soft_mask_gradient(static_cast<const L*>(values.const_data_ptr()),
                                gradient.const_data_ptr<float>(),
                                values.numel() / candidates.count(), candidates, given.options,
                                dlogits.mutable_data_ptr<float>());
  });
  return dlogits.to(logits.scalar_type());
}

at::Tensor add_prior(const at::Tensor& logits, const at::Tensor& mask, double strength) {
  const at::Tensor result = shapes::add_prior(logits, mask, strength);
  if (mask.numel() == 0) return result;
  const at::Tensor entries = mask.contiguous();
  const int64_t group = mask.size(-1);
  const kernels::Candidates candidates(kept_of_groups(entries, group), group);
  if (logits.size(-1) != candidates.count()) {
    fail("the prior is {}:{}, which has {} masks a group, but there are {} logits",
         candidates.kept(), group, candidates.count(), logits.size(-1));
  }
  const double deviation = at::std(logits.detach().to(at::kDouble)).item<double>();
  at::Tensor values = logits.detach().to(at::kFloat, /*non_blocking=*/false, /*copy=*/true,
                                         at::MemoryFormat::Contiguous);
  kernels::add_prior(
      values.mutable_data_ptr<float>(), static_cast<const uint8_t*>(entries.const_data_ptr()),
      values.numel() / candidates.count(), candidates, static_cast<float>(deviation * strength));
  return values.to(logits.scalar_type());
}

}  // namespace twofour::sparse::operators
