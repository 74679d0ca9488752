// Continues a sequence of tokens, one at a time, with a key-value cache.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "twofour/model/model.h"

namespace twofour::model {

/// The action when the tokens fill the model's context.
enum class Overflow {
  kStop,
  /// The window is cut to the `kept` first tokens and the newest half of the others, with new
  /// positions and keys. Generation continues as with that window as a prompt.
  kShift,
};

struct GenerateOptions {
  int64_t max_tokens = 128;

  // The rules for drawing the next token from the logits, applied in this order, as in
  // transformers' generate.
  /// Divides the positive logits of all tokens so far, and multiplies the negative ones (Keskar et
  /// al., arXiv 1909.05858, section 4.1); 1 = none.
  double repetition_penalty = 1.0;
  double temperature = 1.0;  ///< divides the logits; 0 = always the most likely token
  int64_t top_k = 0;         ///< choose among this many likeliest tokens; 0 = all
  double top_p = 1.0;  ///< … among the fewest whose probabilities sum to at least this (nucleus
                       ///< sampling, arXiv 1904.09751, section 3.1)
  double min_p = 0.0;  ///< … among those at least this many times as likely as the likeliest
                       ///< (arXiv 2407.01082, section 3)
  uint64_t seed = 0;
  uint32_t sample = 0;  ///< samples of one seed are independent

  /// By id, whether it may be drawn; ids beyond it may not, `end_tokens` always may. Many models
  /// have more rows than their tokenizer has pieces. Empty = all are drawn.
  std::vector<bool> drawable;
  std::vector<int64_t> end_tokens;  ///< generation ends after any of them; they are not returned

  Overflow overflow = Overflow::kStop;
  int64_t kept = 0;  ///< for kShift; less than the context
};

enum class StopReason { kMaxTokens, kEndToken, kContextFull, kCaller };

struct GenerateResult {
  StopReason reason = StopReason::kMaxTokens;
  int64_t tokens = 0;         ///< returned tokens
  double prompt_seconds = 0;  ///< until the logits of the first new token
  double seconds = 0;         ///< for all later tokens
};

/// Appends to `prompt` (at least one id) until a reason to stop. Calls on_token(id) for each new
/// one; false ends generation. The same options and prompt give the same tokens. Throws Error if
/// the prompt fills the model's context (with kStop) or holds an unknown id, and if the model's
/// logits are NaN.
GenerateResult generate(const Model& model, std::span<const int64_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(int64_t)>& on_token);

/// The window of kShift after `ids`, which exceed a context of `context`.
std::vector<int64_t> shifted_window(std::span<const int64_t> ids, int64_t context, int64_t kept);

}  // namespace twofour::model
