// Continuing a sequence of tokens, one at a time, with a key-value cache.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "twofour/model/gpt2.h"

namespace twofour::model {

struct GenerateOptions {
  int64_t max_tokens = 128;
  double temperature = 1.0;  ///< divides the logits; 0 = always the most likely token
  int64_t top_k = 0;         ///< choose among this many most likely tokens; 0 = all
  double top_p = 1.0;  ///< … among the fewest whose probabilities sum to at least this (nucleus
                       ///< sampling, arXiv 1904.09751, section 3.1)
  uint64_t seed = 0;
  std::optional<int64_t> end_token;  ///< generation ends after it; it is not handed out
};

enum class StopReason { kMaxTokens, kEndToken, kContextFull, kCaller };

/// Appends to `prompt` (at least one id) until a reason to stop; calls on_token(id) for each new
/// one, which ends generation by returning false. The same options and prompt give the same tokens.
/// Throws Error when the prompt fills the model's context or holds an unknown id.
StopReason generate(const Gpt2& model, std::span<const int64_t> prompt,
                    const GenerateOptions& options, const std::function<bool(int64_t)>& on_token);

}  // namespace twofour::model
