// Calls an operator of torch.ops.twofour through PyTorch's dispatcher.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace twofour::sparse::operators {

/// The operator of that name, with the type of `function`, which is not called.
template <class Result, class... Parameters>
auto dispatched(const char* name, Result (*)(Parameters...)) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Result(Parameters...)>();
}

}  // namespace twofour::sparse::operators
