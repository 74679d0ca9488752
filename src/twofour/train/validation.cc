#include "twofour/train/validation.h"

#include <algorithm>
#include <vector>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/model/loss.h"

namespace twofour::train {

double validation_loss(const model::Model& model, const text::TokenFile& data,
                       const ValidationWindows& windows, tensor::Ranks& ranks) {
  const at::NoGradGuard no_gradients;
  if (data.size() < 2) {
    fail("\"{}\" holds {} tokens: too few to validate on", data.path().string(), data.size());
  }
  const int64_t context = std::min(windows.context, data.size() - 1);
  const int64_t available = (data.size() - 1) / context;
  const int64_t count = std::min(windows.count, available);
  at::Tensor total = at::zeros({}, at::kDouble);
  const int64_t own_first = ranks.rank() * windows.batch, stride = ranks.size() * windows.batch;
  for (int64_t first = own_first; first < count; first += stride) {
    const int64_t rows = std::min(windows.batch, count - first);
    std::vector<int64_t> inputs, targets, window(static_cast<size_t>(context + 1));
    for (int64_t row = first; row < first + rows; ++row) {
      data.read(row * available / count * context, window);
      inputs.insert(inputs.end(), window.begin(), window.end() - 1);
      targets.insert(targets.end(), window.begin() + 1, window.end());
    }
    const at::Tensor ids =
        at::from_blob(inputs.data(), {rows, context}, at::TensorOptions().dtype(at::kLong));
    const at::Tensor loss =
        model::next_token_loss(model.output(), model::hidden_of(model, ids), targets, 1.0);
    total += loss.item<double>() * static_cast<double>(rows);
  }
  ranks.sum(total);
  return total.item<double>() / static_cast<double>(count);
}

}  // namespace twofour::train
