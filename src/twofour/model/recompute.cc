#include "twofour/model/recompute.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

namespace twofour::model {
namespace {

using Block = std::function<at::Tensor(const at::Tensor&)>;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Lets a graph node keep a std::function.
struct BlockHolder : torch::CustomClassHolder {
  explicit BlockHolder(Block block) : block(std::move(block)) {}
  Block block;
};

struct RecomputeFunction : torch::autograd::Function<RecomputeFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, const Block& block) {
    context->save_for_backward({x});
    context->saved_data["block"] =
        c10::IValue::make_capsule(c10::make_intrusive<BlockHolder>(block));
    return block(x.detach());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto holder = context->saved_data["block"].toCapsule();
    at::Tensor x = context->get_saved_variables()[0].detach();
    x.requires_grad_();
    const at::AutoGradMode record(true);
    const at::Tensor output = static_cast<BlockHolder&>(*holder).block(x);
    torch::autograd::backward({output}, {gradients[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor recompute(const Block& block, const at::Tensor& x) {
  if (!at::GradMode::is_enabled()) return block(x);
  // With a frozen embedding, only parameters inside the block need gradients; the graph needs an
  // input that does.
  return RecomputeFunction::apply(x.requires_grad() ? x : x.detach().requires_grad_(), block);
}

}  // namespace twofour::model
