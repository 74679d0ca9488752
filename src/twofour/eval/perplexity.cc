#include "twofour/eval/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include <ATen/ops/all.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/model/loss.h"

namespace twofour::eval {
namespace {

struct Window {
  int64_t begin, end;  // ids
  int64_t first_new;   // the first id that is counted
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

// Reports the first tensor of the model that is not finite, if any.
[[noreturn]] void fail_not_finite(const model::Model& model, const Window& window, int64_t id,
                                  float loss) {
  std::string cause = "its weights are finite, so something overflows: try --dtype float32";
  bool found = false, is_whole = true;
  model::Model visited = model;  // shares the tensors
  visited.visit([&](const std::string& name, const at::Tensor& tensor) {
    is_whole &= tensor.defined();
    if (found || !tensor.defined() || at::isfinite(tensor).all().item<bool>()) return;
    found = true;
    cause =
        fmt::format("the model's \"{}\" holds nan or infinity: make or download it again", name);
  });
  if (!found && !is_whole) {  // the blocks are not in memory
    cause =
        "a weight holds nan or infinity, or activations overflow: look at \"twofour info\", or "
        "try --dtype float32";
  }
  fail("the loss of token {} (in the window from {} to {}) is {}: {}", id, window.begin,
       window.end - 1, loss, cause);
}

// Windows of equal length that are computed together.
struct Batch {
  std::span<const Window> windows;

  int64_t tokens() const {
    return windows[0].end - windows[0].begin - 1;
  }  // of each window, as
     // inputs
  int64_t rows() const { return static_cast<int64_t>(windows.size()); }
};

// Omits a last window of one id, which predicts nothing.
std::vector<Batch> batches_of(std::span<const Window> windows, int64_t most) {
  std::vector<Batch> batches;
  for (size_t first = 0; first < windows.size();) {
    const int64_t length = windows[first].end - windows[first].begin;
    size_t last = first + 1;
    while (last < windows.size() && static_cast<int64_t>(last - first) < most &&
           windows[last].end - windows[last].begin == length) {
      ++last;
    }
    if (length > 1) batches.push_back({windows.subspan(first, last - first)});
    first = last;
  }
  return batches;
}

at::Tensor inputs_of(const Batch& batch, std::span<const int64_t> ids) {
  at::Tensor inputs =
      at::empty({batch.rows(), batch.tokens()}, at::TensorOptions().dtype(at::kLong));
  int64_t* place = inputs.mutable_data_ptr<int64_t>();
  for (const Window& window : batch.windows) {
    place = std::copy_n(ids.data() + window.begin, batch.tokens(), place);
  }
  return inputs;
}

// Adds the losses of the counted ids of a batch, from the output matrix's input.
void add_nll(const model::Model& model, const at::Tensor& hidden, const Batch& batch,
             std::span<const int64_t> ids, PerplexityResult& result) {
  const int64_t length = batch.tokens();
  std::vector<int64_t> targets;
  for (const Window& window : batch.windows) {
    const int64_t* first = ids.data() + window.begin + 1;
    targets.insert(targets.end(), first, first + length);
  }
  const at::Tensor nll = model::next_token_nll(model.output(), hidden, targets);
  const float* values = nll.const_data_ptr<float>();
  double total = 0.0;
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const Window& window = batch.windows[static_cast<size_t>(row)];
    for (int64_t id = window.first_new; id < window.end; ++id) {
      const float loss = values[row * length + id - window.begin - 1];
      if (!std::isfinite(loss)) fail_not_finite(model, window, id, loss);
      total += loss;
    }
    result.tokens += window.end - window.first_new;
  }
  result.nll += total;
}

std::vector<Window> checked_windows(int64_t model_context, int64_t ids,
                                    const PerplexityOptions& options) {
  const int64_t context = options.context == 0 ? model_context : options.context;
  const int64_t stride = options.stride == 0 ? context : options.stride;
  if (ids < 2) fail("perplexity needs at least 2 tokens, the text has {}", ids);
  if (context < 2 || context > model_context) {
    fail_usage("--context {} is outside 2 to {}, the model's context", context, model_context);
  }
  if (stride < 1 || stride > context) {
    fail_usage("--stride {} is outside 1 to {}, the context", stride, context);
  }
  return windows_of(ids, context, stride);
}

void report_progress(const PerplexityOptions& options, int64_t done, int64_t all) {
  if (options.progress) options.progress(done, all);
}

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// As many of the first batches as have hidden states within `most_bytes`, at least one.
size_t batches_within(std::span<const Batch> batches, uint64_t bytes_per_token,
                      uint64_t most_bytes) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < batches.size(); ++i) {
    bytes += static_cast<uint64_t>(batches[i].rows() * batches[i].tokens()) * bytes_per_token;
    if (bytes > most_bytes) return std::max<size_t>(i, 1);
  }
  return batches.size();
}

}  // namespace

PerplexityResult perplexity(const model::Model& model, std::span<const int64_t> ids,
                            const PerplexityOptions& options) {
  const at::NoGradGuard no_gradients;
  const std::vector<Window> windows =
      checked_windows(model.context(), static_cast<int64_t>(ids.size()), options);
  const auto all = static_cast<int64_t>(windows.size());
  PerplexityResult result;
  int64_t done = 0;
  report_progress(options, done, all);
  const Stopwatch stopwatch;
  for (const Batch& batch : batches_of(windows, options.batch)) {
    add_nll(model, model::hidden_of(model, inputs_of(batch, ids)), batch, ids, result);
    report_progress(options, done += batch.rows(), all);
  }
  result.seconds = stopwatch.seconds();
  result.perplexity = std::exp(result.nll / static_cast<double>(result.tokens));
  return result;
}

PerplexityResult streamed_perplexity(const checkpoint::ModelFolder& folder,
                                     const StreamOptions& stream, std::span<const int64_t> ids,
                                     const PerplexityOptions& options) {
  const at::NoGradGuard no_gradients;
  model::Model model = folder.load_frame(stream.dtype);
  if (stream.uses_24_kernels) model::use_24_kernels(model);
  const std::vector<Window> windows =
      checked_windows(model.context(), static_cast<int64_t>(ids.size()), options);
  const std::vector<Batch> batches = batches_of(windows, options.batch);
  const auto bytes_per_token =
      static_cast<uint64_t>(model.sizes().width) * c10::elementSize(stream.dtype);
  PerplexityResult result;
  const Stopwatch stopwatch;
  std::span<const Batch> rest(batches);
  for (int64_t passes_done = 0; !rest.empty(); ++passes_done) {
    const auto part = rest.first(batches_within(rest, bytes_per_token, stream.most_bytes));
    rest = rest.subspan(part.size());
    // Assumes that all passes take as many windows.
    const auto passes = static_cast<int64_t>((batches.size() + part.size() - 1) / part.size());
    std::vector<at::Tensor> inputs, hidden;
    std::vector<model::Pass> forward_passes;
    for (const Batch& batch : part) {
      inputs.push_back(inputs_of(batch, ids));
      forward_passes.push_back(model::start(model, inputs.back()));
      hidden.push_back(model::embed(model, inputs.back(), forward_passes.back()));
    }
    for (int64_t i = 0; i < model.layers(); ++i) {
      report_progress(options, passes_done * model.layers() + i, passes * model.layers());
      folder.load_block(model, i, stream.dtype);
      if (stream.uses_24_kernels) model::use_24_kernels(model);
      for (size_t b = 0; b < part.size(); ++b) {
        hidden[b] = model::run_block(model, i, hidden[b], forward_passes[b]);
      }
      model::drop_block(model, i);
    }
    for (size_t b = 0; b < part.size(); ++b) {
      add_nll(model, model::finish(model, hidden[b]), part[b], ids, result);
      hidden[b].reset();
    }
  }
  result.seconds = stopwatch.seconds();
  result.perplexity = std::exp(result.nll / static_cast<double>(result.tokens));
  return result;
}

}  // namespace twofour::eval
