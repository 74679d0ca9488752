#include "twofour/model/generate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/model/decode_step.h"
#include "twofour/model/loss.h"

namespace twofour::model {
namespace {

struct Candidate {
  float logit;
  int64_t id;
};

bool is_likelier(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

bool contains(const std::vector<int64_t>& ids, int64_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

void check_logit(float logit, int64_t id) {
  if (!std::isnan(logit) && logit != std::numeric_limits<float>::infinity()) return;
  fail(
      "the model gives token {} the logit {}: its weights hold such values, or the dtype cannot "
      "hold its numbers (try --dtype float32)",
      id, logit);
}

/// Calls fn(logit, id) for all ids that may be drawn, with the penalty for those in `seen`.
template <class Fn>
void for_each_drawn(std::span<const float> logits, const std::vector<bool>& seen,
                    const GenerateOptions& options, const Fn& fn) {
  const auto all = static_cast<int64_t>(logits.size());
  const auto is_drawable = [&](int64_t id) {
    const auto index = static_cast<size_t>(id);
    return options.drawable.empty() ||
           (index < options.drawable.size() && options.drawable[index]) ||
           contains(options.end_tokens, id);
  };
  const auto penalty = static_cast<float>(options.repetition_penalty);
  for (int64_t id = 0; id < all; ++id) {
    if (!is_drawable(id)) continue;
    float logit = logits[static_cast<size_t>(id)];
    if (penalty != 1.0f && seen[static_cast<size_t>(id)]) {
      logit = logit < 0 ? logit * penalty : logit / penalty;
    }
    fn(logit, id);
  }
}

/// The likeliest; the first of equal ones.
Candidate likeliest(std::span<const float> logits, const std::vector<bool>& seen,
                    const GenerateOptions& options) {
  Candidate top{-std::numeric_limits<float>::infinity(), 0};
  for_each_drawn(logits, seen, options, [&](float logit, int64_t id) {
    if (logit <= top.logit) return;
    check_logit(logit, id);
    top = {logit, id};
  });
  return top;
}

/// Keeps the likeliest by options.top_p and min_p; `weights` belong to the sorted candidates.
void cut(std::vector<double>& weights, const GenerateOptions& options) {
  if (options.top_p < 1.0) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    double kept = 0.0;
    size_t count = 0;
    while (count < weights.size() && kept < options.top_p * total) kept += weights[count++];
    weights.resize(std::max<size_t>(count, 1));
  }
  while (weights.back() < options.min_p * weights.front()) weights.pop_back();
}

/// Draws the next token. `uniform` lies in [0, 1).
int64_t sample(std::span<const float> logits, const std::vector<bool>& seen,
               const GenerateOptions& options, double uniform) {
  const Candidate top = likeliest(logits, seen, options);
  if (std::isinf(top.logit)) fail("the model gives every token the logit {}", top.logit);
  if (options.temperature == 0) return top.id;
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for_each_drawn(logits, seen, options, [&](float logit, int64_t id) {
    candidates.push_back({logit, id});
  });
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(candidates.size())) {
    std::nth_element(candidates.begin(), candidates.begin() + options.top_k - 1, candidates.end(),
                     is_likelier);
    candidates.resize(static_cast<size_t>(options.top_k));
  }
  const bool cuts = options.top_p < 1.0 || options.min_p > 0.0;
  if (cuts) std::sort(candidates.begin(), candidates.end(), is_likelier);
  std::vector<double> weights(candidates.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i] = std::exp((candidates[i].logit - top.logit) / options.temperature);
  }
  if (cuts) cut(weights, options);
  double rest = uniform * std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t i = 0; i < weights.size(); ++i) {
    rest -= weights[i];
    if (rest < 0) return candidates[i].id;
  }
  return candidates[0].id;
}

/// The tokens so far, and those in the model's context.
class Sequence {
 public:
  Sequence(const Model& model, std::span<const int64_t> prompt, const GenerateOptions& options)
      : model_(model), options_(options), ids_(prompt.begin(), prompt.end()), next_(ids_) {
    const auto length = static_cast<int64_t>(prompt.size());
    if (length > model.context()) shift();
    // Room for all new tokens within the context.
    const int64_t room = std::min(options.max_tokens, model.context());
    const auto begin = static_cast<int64_t>(next_.size());
    cache_ = make_cache(model, 1, std::min(begin + room, model.context()));
    if (DecodePlan plan = decode_plan(model); plan.is_runnable()) step_.emplace(std::move(plan));
  }

  /// The logits of the next token, valid until the next call.
  std::span<const float> logits() {
    const std::span<const float> logits =
        step_ && next_.size() == 1 ? logits_of_token() : logits_of_prompt();
    if (seen_.empty()) {
      seen_.resize(logits.size());
      for (const int64_t id : ids_) see(id);
    }
    return logits;
  }

  void append(int64_t id) {
    ids_.push_back(id);
    see(id);
    next_ = {id};
    if (cache_.length == model_.context()) {
      shift();
      cache_.length = 0;
    }
  }

  const std::vector<bool>& seen() const { return seen_; }

 private:
  std::span<const float> logits_of_token() {
    const DecodeRow row{next_[0], 0, cache_.length};
    const std::span<const float> logits = step_->run({&row, 1}, cache_);
    ++cache_.length;
    return logits;
  }

  std::span<const float> logits_of_prompt() {
    const at::Tensor ids = at::from_blob(next_.data(), {1, static_cast<int64_t>(next_.size())},
                                         at::TensorOptions().dtype(at::kLong));
    const at::Tensor hidden = hidden_of(model_, ids, cache_);
    logits_ = logits_of(model_.output(), hidden.narrow(0, hidden.size(0) - 1, 1))
                  .to(at::kFloat)
                  .contiguous();
    return {logits_.const_data_ptr<float>(), static_cast<size_t>(logits_.numel())};
  }

  void shift() { next_ = shifted_window(ids_, model_.context(), options_.kept); }
  void see(int64_t id) {
    if (id < 0 || id >= static_cast<int64_t>(seen_.size())) {
      fail("token id {} is outside the vocabulary of {}", id, seen_.size());
    }
    seen_[static_cast<size_t>(id)] = true;
  }

  const Model& model_;
  const GenerateOptions& options_;
  std::vector<int64_t> ids_, next_;
  std::vector<bool> seen_;
  KeyValueCache cache_;
  std::optional<DecodeStep> step_;  // empty if the model needs the forward pass of prompts
  at::Tensor logits_;
};

void check(const Model& model, std::span<const int64_t> prompt, const GenerateOptions& options) {
  const auto length = static_cast<int64_t>(prompt.size());
  if (length == 0) fail("the prompt has no tokens: give at least one");
  if (options.overflow == Overflow::kStop && length >= model.context()) {
    fail(
        "the prompt of {} tokens fills the model's context of {}: --context-overflow shift "
        "continues",
        length, model.context());
  }
  if (options.kept >= model.context()) {
    fail_usage("--keep {} leaves nothing of the model's context of {}", options.kept,
               model.context());
  }
}

}  // namespace

std::vector<int64_t> shifted_window(std::span<const int64_t> ids, int64_t context, int64_t kept) {
  const int64_t newest = std::max<int64_t>((context - kept) / 2, 1);
  std::vector<int64_t> window(ids.begin(), ids.begin() + kept);
  window.insert(window.end(), ids.end() - newest, ids.end());
  return window;
}

GenerateResult generate(const Model& model, std::span<const int64_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(int64_t)>& on_token) {
  const at::NoGradGuard no_gradients;
  check(model, prompt, options);
  GenerateResult result;
  int64_t most = options.max_tokens;
  if (options.overflow == Overflow::kStop) {
    most = std::min(most, model.context() - static_cast<int64_t>(prompt.size()));
  }
  result.reason = most < options.max_tokens ? StopReason::kContextFull : StopReason::kMaxTokens;
  Sequence sequence(model, prompt, options);
  const RandomStream stream{options.seed, 0, options.sample, RandomStream::kSampling};
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  while (result.tokens < most) {
    const std::span<const float> logits = sequence.logits();
    if (result.tokens == 0) result.prompt_seconds = seconds();
    const PhiloxBlock bits = stream(static_cast<uint32_t>(result.tokens));
    const int64_t id = sample(logits, sequence.seen(), options, bits[0] * 0x1p-32);
    if (contains(options.end_tokens, id)) {
      result.reason = StopReason::kEndToken;
      break;
    }
    ++result.tokens;
    if (!on_token(id)) {
      result.reason = StopReason::kCaller;
      break;
    }
    if (result.tokens < most) sequence.append(id);
  }
  result.seconds = seconds() - result.prompt_seconds;
  return result;
}

}  // namespace twofour::model
