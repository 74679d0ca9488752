// The schemas of torch.ops.twofour.*; operators.h documents them.
#include <torch/custom_class.h>
#include <torch/library.h>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/sparse/operators.h"
#include "twofour/sparse/operators_shapes.h"

namespace twofour::sparse::operators {
namespace {

using Handle = c10::intrusive_ptr<PreparedWeight>;
using Values = std::tuple<at::Tensor, at::Tensor>;  // of a weight, in pack24's form

void define_prepared_weight(torch::Library& library) {
  library.class_<PreparedWeight>("Weight24")
      .def(torch::init<const at::Tensor&>())
      .def("update", [](const Handle& self, const at::Tensor& weight) { self->update(weight); })
      .def("dense", [](const Handle& self) { return self->dense().clone(); })
      .def_pickle([](const Handle& self) -> Values { return pack24(self->dense(), std::nullopt); },
                  [](const Values& stored) {
                    const auto& [values, positions] = stored;
                    return c10::make_intrusive<PreparedWeight>(unpack24(values, positions));
                  });
}

}  // namespace

TORCH_LIBRARY(twofour, library) {
  start_log();
  define_prepared_weight(library);
  library.def("magnitude_mask(Tensor weight, int kept, int group) -> Tensor");
  library.def("transposable_mask24(Tensor weight) -> Tensor");
  library.def("gram(Tensor x) -> Tensor");
  library.def("wanda_mask(Tensor weight, Tensor input_norm, int kept, int group) -> Tensor");
  library.def(
      "sparsegpt(Tensor weight, Tensor hessian, int kept, int group, *, float sparsity=0.5, "
      "int block=128, float damping=0.01, bool update=True) -> (Tensor weight, Tensor mask)");
  library.def(
      "swap_mask(Tensor weight, Tensor mask, Tensor hessian, int kept, int group) -> Tensor");
  library.def("apply_mask(Tensor weight, Tensor mask) -> Tensor");
  library.def("mask_flips(Tensor mask, Tensor other) -> int");
  library.def("pack_mask(Tensor mask) -> Tensor");
  library.def("unpack_mask(Tensor bits, SymInt[] shape) -> Tensor");
  library.def("soft_threshold24(Tensor weight, float scale=1.0) -> (Tensor out, Tensor mask)");
  library.def("soft_threshold_scale(Tensor weight) -> float");
  library.def(
      "soft_mask(Tensor logits, *, float kappa, float tau, Tensor? gumbel=None, int seed=0, "
      "SymInt step=0, SymInt micro_batch=0, int tensor=0, int kept=2, int group=4, "
      "bool hard=False) -> Tensor");
  library.def(
      "soft_mask_gradient(Tensor dsoft, Tensor logits, *, float kappa, float tau, "
      "Tensor? gumbel=None, int seed=0, SymInt step=0, SymInt micro_batch=0, int tensor=0, "
      "int kept=2, int group=4, bool hard=False) -> Tensor");
  library.def("add_prior(Tensor logits, Tensor mask, float strength) -> Tensor");
  library.def(
      "mvue24(Tensor gradient, int seed, SymInt step, SymInt micro_batch=0, int tensor=0, "
      "bool exact=False) -> Tensor");
  library.def("round_to_float8(Tensor x, str format, float scale=1.0) -> Tensor");
  library.def("float8_scale(Tensor x, str format) -> float");
  library.def("pack24(Tensor weight, Tensor? mask=None) -> (Tensor values, Tensor positions)");
  library.def("unpack24(Tensor values, Tensor positions) -> Tensor");
  library.def(
      "linear24(Tensor x, Tensor weight, Tensor? bias=None, Tensor? mask=None, *, "
      "bool transposable=False, bool mvue=False, bool exact=False, int seed=0, SymInt step=0, "
      "SymInt micro_batch=0, int tensor=0) -> Tensor");
  library.def("input_gradient24(Tensor dz, Tensor weight) -> Tensor");
  library.def(
      "weight_gradient24(Tensor dz, Tensor x, int seed, SymInt step, SymInt micro_batch=0, "
      "int tensor=0, bool exact=False) -> Tensor");
  library.def(
      "linear24_packed(Tensor x, Tensor values, Tensor positions, Tensor? bias=None) -> Tensor");
  library.def(
      "linear24_prepared(Tensor x, __torch__.torch.classes.twofour.Weight24 weight, "
      "Tensor? bias=None) -> Tensor");
}

TORCH_LIBRARY_IMPL(twofour, CPU, library) {
  library.impl("magnitude_mask", &magnitude_mask);
  library.impl("transposable_mask24", &transposable_mask24);
  library.impl("gram", &gram);
  library.impl("wanda_mask", &wanda_mask);
  library.impl("sparsegpt", &sparsegpt);
  library.impl("swap_mask", &swap_mask);
  library.impl("apply_mask", &apply_mask);
  library.impl("mask_flips", &mask_flips);
  library.impl("pack_mask", &pack_mask);
  library.impl("unpack_mask", &unpack_mask);
  library.impl("soft_threshold24", &soft_threshold24);
  library.impl("soft_threshold_scale", &soft_threshold_scale);
  library.impl("soft_mask", &soft_mask);
  library.impl("soft_mask_gradient", &soft_mask_gradient);
  library.impl("add_prior", &add_prior);
  library.impl("mvue24", &mvue24);
  library.impl("round_to_float8", &round_to_float8);
  library.impl("float8_scale", &float8_scale);
  library.impl("pack24", &pack24);
  library.impl("unpack24", &unpack24);
  library.impl("linear24", &linear24);
  library.impl("input_gradient24", &input_gradient24);
  library.impl("weight_gradient24", &weight_gradient24);
  library.impl("linear24_packed", &linear24_packed);
  library.impl("linear24_prepared", &linear24_prepared);
}

TORCH_LIBRARY_IMPL(twofour, Meta, library) {
  library.impl("magnitude_mask", &shapes::magnitude_mask);
  library.impl("transposable_mask24", &shapes::transposable_mask24);
  library.impl("gram", &shapes::gram);
  library.impl("wanda_mask", &shapes::wanda_mask);
  library.impl("sparsegpt", &shapes::sparsegpt);
  library.impl("swap_mask", &shapes::swap_mask);
  library.impl("apply_mask", &shapes::apply_mask);
  library.impl("pack_mask", &shapes::pack_mask);
  library.impl("unpack_mask", &shapes::unpack_mask);
  library.impl("soft_threshold24", &shapes::soft_threshold24);
  library.impl("soft_mask", &shapes::soft_mask);
  library.impl("soft_mask_gradient", &shapes::soft_mask_gradient);
  library.impl("add_prior", &shapes::add_prior);
  library.impl("mvue24", &shapes::mvue24);
  library.impl("round_to_float8", &shapes::round_to_float8);
  library.impl("pack24", &shapes::pack24);
  library.impl("unpack24", &shapes::unpack24);
  library.impl("linear24", &shapes::linear24);
  library.impl("input_gradient24", &shapes::input_gradient24);
  library.impl("weight_gradient24", &shapes::weight_gradient24);
  library.impl("linear24_packed", &shapes::linear24_packed);
  library.impl("linear24_prepared", &shapes::linear24_prepared);
}

namespace {

constexpr const char* kOperators[] = {"magnitude_mask",
                                      "transposable_mask24",
                                      "apply_mask",
                                      "mask_flips",
                                      "pack_mask",
                                      "unpack_mask",
                                      "soft_threshold24",
                                      "soft_threshold_scale",
                                      "soft_mask",
                                      "soft_mask_gradient",
                                      "add_prior",
                                      "mvue24",
                                      "round_to_float8",
                                      "float8_scale",
                                      "pack24",
                                      "unpack24",
                                      "linear24",
                                      "input_gradient24",
                                      "weight_gradient24",
                                      "linear24_packed",
                                      "wanda_mask",
                                      "sparsegpt",
                                      "swap_mask",
                                      "gram"};

void refuse_nested(const c10::OperatorHandle& op, c10::Stack*) {
  fail("{} takes no nested tensors: call it with values() of a jagged one, or with a padded tensor",
       op.schema().name());
}

void add_refusal(torch::Library& library) {
  for (const char* name : kOperators) {
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&refuse_nested>());
  }
  library.impl("linear24_prepared", torch::CppFunction::makeFromBoxedFunction<&refuse_nested>());
}

}  // namespace

TORCH_LIBRARY_IMPL(twofour, NestedTensorCPU, library) { add_refusal(library); }
TORCH_LIBRARY_IMPL(twofour, NestedTensorCUDA, library) { add_refusal(library); }
TORCH_LIBRARY_IMPL(twofour, AutogradNestedTensor, library) { add_refusal(library); }

#ifndef TWOFOUR_CUDA
namespace {

void without_cuda(const c10::OperatorHandle& op, c10::Stack*) {
  fail(
      "{} has no CUDA kernel in this build: move its tensors to the CPU, or build with "
      "-DTWOFOUR_CUDA=ON",
      op.schema().name());
}

}  // namespace

TORCH_LIBRARY_IMPL(twofour, CUDA, library) {
  for (const char* name : kOperators) {
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&without_cuda>());
  }
}
#endif

}  // namespace twofour::sparse::operators
