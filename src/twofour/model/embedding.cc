#include "twofour/model/embedding.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/index_add.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/custom_function.h>

#include "twofour/tensor/accumulate.h"

namespace twofour::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// The masters are arguments to record the graph.
struct EmbeddingFunction : torch::autograd::Function<EmbeddingFunction> {
  static Variable forward(AutogradContext* context, const Variable& master, const Table& tokens,
                          const Table& positions, const at::Tensor& ids, int64_t first_position) {
    context->save_for_backward({master, positions.weight, ids});
    context->saved_data["first_position"] = first_position;
    at::Tensor x = at::embedding(tokens.used().detach(), ids);
    if (positions.weight.defined()) {
      x.add_(positions.used().detach().narrow(0, first_position, ids.size(1)));
    }
    return x.view({ids.numel(), x.size(2)});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &tokens = saved[0], &positions = saved[1], &ids = saved[2];
    const at::Tensor dx = gradients[0].to(at::kFloat).contiguous();
    if (tokens.requires_grad()) {
      tensor::gradient_of(tokens).index_add_(0, ids.view({-1}), dx);
    }
    if (positions.defined() && positions.requires_grad()) {
      tensor::gradient_of(positions)
          .narrow(0, context->saved_data["first_position"].toInt(), ids.size(1))
          .add_(dx.view({ids.size(0), ids.size(1), dx.size(1)}).sum(0));
    }
    return variable_list(5);
  }
};

}  // namespace

at::Tensor embed(const Table& tokens, const Table& positions, const at::Tensor& ids,
                 int64_t first_position) {
  return EmbeddingFunction::apply(tokens.weight, tokens, positions, ids, first_position);
}

}  // namespace twofour::model
