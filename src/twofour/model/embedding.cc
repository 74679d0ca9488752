#include "twofour/model/embedding.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/index_add.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/custom_function.h>

#include "twofour/sparse/accumulate.h"

namespace twofour::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct EmbeddingFunction : torch::autograd::Function<EmbeddingFunction> {
  static Variable forward(AutogradContext* context, const Variable& wte, const Variable& wpe,
                          const Gpt2& model, const at::Tensor& ids, int64_t first_position) {
    const at::Tensor& tokens = model.forward_wte.defined() ? model.forward_wte : wte;
    const at::Tensor& positions = model.forward_wpe.defined() ? model.forward_wpe : wpe;
    context->save_for_backward({wte, wpe, ids});
    context->saved_data["first_position"] = first_position;
    at::Tensor x = at::embedding(tokens.detach(), ids);
    x.add_(positions.detach().narrow(0, first_position, ids.size(1)));
    return x.view({ids.numel(), x.size(2)});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &wte = saved[0], &wpe = saved[1], &ids = saved[2];
    const int64_t batch = ids.size(0), tokens = ids.size(1);
    const at::Tensor dx = gradients[0].to(at::kFloat).contiguous();
    sparse::gradient_of(wte).index_add_(0, ids.view({-1}), dx);
    sparse::gradient_of(wpe)
        .narrow(0, context->saved_data["first_position"].toInt(), tokens)
        .add_(dx.view({batch, tokens, dx.size(1)}).sum(0));
    return variable_list(5);
  }
};

}  // namespace

at::Tensor embed(const Gpt2& model, const at::Tensor& ids, int64_t first_position) {
  return EmbeddingFunction::apply(model.wte, model.wpe, model, ids, first_position);
}

}  // namespace twofour::model
