#include "twofour/model/generate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"

namespace twofour::model {
namespace {

struct Candidate {
  float logit;
  int64_t id;
};

bool is_likelier(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/// Draws from softmax(logits / temperature), cut to top_k and top_p. `uniform` lies in [0, 1).
int64_t sample(std::span<const float> logits, const GenerateOptions& options, double uniform) {
  std::vector<Candidate> candidates(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) candidates[i] = {logits[i], static_cast<int64_t>(i)};
  if (options.temperature == 0) {
    return std::min_element(candidates.begin(), candidates.end(), is_likelier)->id;
  }
  const bool cuts = options.top_p < 1.0;
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(candidates.size())) {
    std::nth_element(candidates.begin(), candidates.begin() + options.top_k - 1, candidates.end(),
                     is_likelier);
    candidates.resize(static_cast<size_t>(options.top_k));
  }
  if (cuts) std::sort(candidates.begin(), candidates.end(), is_likelier);
  const float top = std::min_element(candidates.begin(), candidates.end(), is_likelier)->logit;
  std::vector<double> weights(candidates.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i] = std::exp((candidates[i].logit - top) / options.temperature);
  }
  double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (cuts) {
    double kept = 0.0;
    size_t count = 0;
    while (count < weights.size() && kept < options.top_p * total) kept += weights[count++];
    weights.resize(std::max<size_t>(count, 1));
    total = std::accumulate(weights.begin(), weights.end(), 0.0);
  }
  double rest = uniform * total;
  for (size_t i = 0; i < weights.size(); ++i) {
    rest -= weights[i];
    if (rest < 0) return candidates[i].id;
  }
  return candidates[0].id;
}

at::Tensor last_logits(const Model& model, std::span<const int64_t> ids, KeyValueCache& cache) {
  const at::Tensor input =
      at::from_blob(const_cast<int64_t*>(ids.data()), {1, static_cast<int64_t>(ids.size())},
                    at::TensorOptions().dtype(at::kLong));
  const at::Tensor hidden = hidden_of(model, input, cache);
  return logits_of(model.output(), hidden.narrow(0, hidden.size(0) - 1, 1))
      .to(at::kFloat)
      .contiguous();
}

}  // namespace

GenerateResult generate(const Model& model, std::span<const int64_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(int64_t)>& on_token) {
  const at::NoGradGuard no_gradients;
  const auto length = static_cast<int64_t>(prompt.size());
  if (length == 0) fail("the prompt has no tokens: give at least one");
  if (length >= model.context()) {
    fail("the prompt of {} tokens fills the model's context of {}", length, model.context());
  }
  const int64_t room = std::min(options.max_tokens, model.context() - length);
  KeyValueCache cache = make_cache(model, 1, length + room);
  const RandomStream stream{options.seed, 0, 0, RandomStream::kSampling};
  std::vector<int64_t> next(prompt.begin(), prompt.end());
  GenerateResult result;
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  result.reason = room < options.max_tokens ? StopReason::kContextFull : StopReason::kMaxTokens;
  for (int64_t i = 0; i < room; ++i) {
    const at::Tensor logits = last_logits(model, next, cache);
    if (i == 0) result.prompt_seconds = seconds();
    const std::span values(logits.const_data_ptr<float>(), static_cast<size_t>(logits.numel()));
    const PhiloxBlock bits = stream(static_cast<uint32_t>(i));
    const int64_t id = sample(values, options, bits[0] * 0x1p-32);
    const auto& ends = options.end_tokens;
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) {
      result.reason = StopReason::kEndToken;
      break;
    }
    ++result.tokens;
    if (!on_token(id)) {
      result.reason = StopReason::kCaller;
      break;
    }
    next = {id};
  }
  result.seconds = seconds() - result.prompt_seconds;
  return result;
}

}  // namespace twofour::model
