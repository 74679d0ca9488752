// Continuing a sequence of tokens, one at a time, with a key-value cache.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "twofour/model/model.h"

namespace twofour::model {

struct GenerateOptions {
  int64_t max_tokens = 128;
  double temperature = 1.0;  ///< divides the logits; 0 = always the most likely token
  int64_t top_k = 0;         ///< choose among this many most likely tokens; 0 = all
  double top_p = 1.0;  ///< … among the fewest whose probabilities sum to at least this (nucleus
                       ///< sampling, arXiv 1904.09751, section 3.1)
  uint64_t seed = 0;
  std::vector<int64_t> end_tokens;  ///< generation ends after any of them; it is not handed out
};

enum class StopReason { kMaxTokens, kEndToken, kContextFull, kCaller };

struct GenerateResult {
  StopReason reason = StopReason::kMaxTokens;
  int64_t tokens = 0;         ///< handed out
  double prompt_seconds = 0;  ///< until the logits of the first new token
  double seconds = 0;         ///< of all that follow
};

/// Appends to `prompt` (at least one id) until a reason to stop; calls on_token(id) for each new
/// one, which ends generation by returning false. The same options and prompt give the same tokens.
/// Throws Error when the prompt fills the model's context or holds an unknown id.
GenerateResult generate(const Model& model, std::span<const int64_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(int64_t)>& on_token);

}  // namespace twofour::model
