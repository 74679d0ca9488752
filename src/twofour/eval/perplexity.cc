#include "twofour/eval/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include <ATen/ops/all.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/model/loss.h"

namespace twofour::eval {
namespace {

struct Window {
  int64_t begin, end;  // ids
  int64_t first_new;   // the first id that counts
};

std::vector<Window> windows_of(int64_t ids, int64_t context, int64_t stride) {
  std::vector<Window> windows;
  int64_t covered = 0;
  for (int64_t begin = 0;; begin += stride) {
    const int64_t end = std::min(begin + context, ids);
    windows.push_back({begin, end, std::max(covered, begin + 1)});
    covered = end;
    if (end == ids) return windows;
  }
}

// What to tell about a loss that is no number: the first of the model's tensors that holds none.
[[noreturn]] void fail_not_finite(const model::Model& model, const Window& window, int64_t id,
                                  float loss) {
  std::string cause = "its weights are finite, so something overflows: try --dtype float32";
  bool found = false;
  model::Model visited = model;  // the same tensors
  visited.visit([&](const std::string& name, const at::Tensor& tensor) {
    if (found || !tensor.defined() || at::isfinite(tensor).all().item<bool>()) return;
    found = true;
    cause =
        fmt::format("the model's \"{}\" holds nan or infinity: make or download it again", name);
  });
  fail("the loss of token {} (in the window from {} to {}) is {}: {}", id, window.begin,
       window.end - 1, loss, cause);
}

// The windows of one batch have equal lengths.
double batch_nll(const model::Model& model, std::span<const int64_t> ids,
                 std::span<const Window> windows) {
  const int64_t length = windows[0].end - windows[0].begin - 1;
  const auto rows = static_cast<int64_t>(windows.size());
  std::vector<int64_t> inputs, targets;
  for (const Window& window : windows) {
    const int64_t* first = ids.data() + window.begin;
    inputs.insert(inputs.end(), first, first + length);
    targets.insert(targets.end(), first + 1, first + 1 + length);
  }
  const at::Tensor input =
      at::from_blob(inputs.data(), {rows, length}, at::TensorOptions().dtype(at::kLong));
  const at::Tensor nll =
      model::next_token_nll(model.output(), model::hidden_of(model, input), targets);
  const float* values = nll.const_data_ptr<float>();
  double total = 0.0;
  for (int64_t row = 0; row < rows; ++row) {
    const Window& window = windows[static_cast<size_t>(row)];
    for (int64_t id = window.first_new; id < window.end; ++id) {
      const float loss = values[row * length + id - window.begin - 1];
      if (!std::isfinite(loss)) fail_not_finite(model, window, id, loss);
      total += loss;
    }
  }
  return total;
}

}  // namespace

PerplexityResult perplexity(const model::Model& model, std::span<const int64_t> ids,
                            const PerplexityOptions& options) {
  const at::NoGradGuard no_gradients;
  const auto count = static_cast<int64_t>(ids.size());
  const int64_t context = options.context == 0 ? model.context() : options.context;
  const int64_t stride = options.stride == 0 ? context : options.stride;
  if (count < 2) fail("perplexity needs at least 2 tokens, the text has {}", count);
  if (context < 2 || context > model.context()) {
    fail_usage("--context {} is outside 2 to {}, the model's context", context, model.context());
  }
  if (stride < 1 || stride > context) {
    fail_usage("--stride {} is outside 1 to {}, the context", stride, context);
  }
  const std::vector<Window> windows = windows_of(count, context, stride);
  PerplexityResult result;
  if (options.progress) options.progress(0, static_cast<int64_t>(windows.size()));
  const auto start = std::chrono::steady_clock::now();
  for (size_t first = 0; first < windows.size();) {
    const int64_t length = windows[first].end - windows[first].begin;
    size_t last = first + 1;
    while (last < windows.size() && static_cast<int64_t>(last - first) < options.batch &&
           windows[last].end - windows[last].begin == length) {
      ++last;
    }
    // A last window of one id predicts nothing.
    if (length > 1) {
      const std::span batch(&windows[first], last - first);
      result.nll += batch_nll(model, ids, batch);
      for (const Window& window : batch) result.tokens += window.end - window.first_new;
    }
    first = last;
    if (options.progress) {
      options.progress(static_cast<int64_t>(first), static_cast<int64_t>(windows.size()));
    }
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.perplexity = std::exp(result.nll / static_cast<double>(result.tokens));
  return result;
}

}  // namespace twofour::eval
