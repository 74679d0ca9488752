// The gradient of soft_mask.
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "twofour/sparse/operators.h"
#include "twofour/sparse/operators_dispatch.h"

namespace twofour::sparse::operators {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The arguments besides tensors.
struct MaskArguments {
  double kappa, tau;
  int64_t seed;
  c10::SymInt step, micro_batch;
  int64_t tensor, kept, group;
  bool hard;

  void save(AutogradContext& context) const {
    auto& data = context.saved_data;
    data["kappa"] = kappa;
    data["tau"] = tau;
    data["seed"] = seed;
    data["step"] = step;
    data["micro_batch"] = micro_batch;
    data["tensor"] = tensor;
    data["kept"] = kept;
    data["group"] = group;
    data["hard"] = hard;
  }

  static MaskArguments saved(AutogradContext& context) {
    auto& data = context.saved_data;
    return {data["kappa"].toDouble(), data["tau"].toDouble(),         data["seed"].toInt(),
            data["step"].toSymInt(),  data["micro_batch"].toSymInt(), data["tensor"].toInt(),
            data["kept"].toInt(),     data["group"].toInt(),          data["hard"].toBool()};
  }
};

struct SoftMaskFunction : torch::autograd::Function<SoftMaskFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits,
                            const std::optional<at::Tensor>& gumbel, const MaskArguments& use) {
    at::AutoDispatchBelowADInplaceOrView guard;
    static const auto op = dispatched("twofour::soft_mask", &soft_mask);
    context->save_for_backward({logits, gumbel.value_or(at::Tensor())});
    use.save(*context);
    return op.call(logits, use.kappa, use.tau, gumbel, use.seed, use.step, use.micro_batch,
                   use.tensor, use.kept, use.group, use.hard);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    static const auto op = dispatched("twofour::soft_mask_gradient", &soft_mask_gradient);
    const variable_list saved = context->get_saved_variables();
    const MaskArguments use = MaskArguments::saved(*context);
    const auto gumbel = saved[1].defined() ? std::optional(saved[1]) : std::nullopt;
    variable_list result(3);
    result[0] = op.call(gradients[0], saved[0], use.kappa, use.tau, gumbel, use.seed, use.step,
                        use.micro_batch, use.tensor, use.kept, use.group, use.hard);
    return result;
  }
};

at::Tensor differentiable_soft_mask(const at::Tensor& logits, double kappa, double tau,
                                    const std::optional<at::Tensor>& gumbel, int64_t seed,
                                    c10::SymInt step, c10::SymInt micro_batch, int64_t tensor,
                                    int64_t kept, int64_t group, bool hard) {
  return SoftMaskFunction::apply(
      logits, gumbel,
      MaskArguments{kappa, tau, seed, step, micro_batch, tensor, kept, group, hard});
}

}  // namespace

TORCH_LIBRARY_IMPL(twofour, Autograd, library) {
  library.impl("soft_mask", &differentiable_soft_mask);
}

}  // namespace twofour::sparse::operators
