// Continuing a sequence of tokens, one at a time, with a key-value cache.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "twofour/model/model.h"

namespace twofour::model {

/// What happens when the tokens fill the model's context.
enum class Overflow {
  kStop,
  /// The window is cut to the `kept` first tokens and the newest half of the others, whose
  /// positions and keys are computed anew: what follows is what follows that window as a prompt.
  kShift,
};

struct GenerateOptions {
  int64_t max_tokens = 128;

  // How the next token is drawn from the logits, in this order; as transformers' generate does it.
  /// Divides the positive logits of all tokens so far, and multiplies the negative ones (Keskar et
  /// al., arXiv 1909.05858, section 4.1); 1 = none.
  double repetition_penalty = 1.0;
  double temperature = 1.0;  ///< divides the logits; 0 = always the most likely token
  int64_t top_k = 0;         ///< choose among this many most likely tokens; 0 = all
  double top_p = 1.0;  ///< … among the fewest whose probabilities sum to at least this (nucleus
                       ///< sampling, arXiv 1904.09751, section 3.1)
  double min_p = 0.0;  ///< … among those at least this many times as likely as the likeliest
                       ///< (arXiv 2407.01082, section 3)
  uint64_t seed = 0;
  uint32_t sample = 0;  ///< samples of one seed are independent

  /// By id, whether it may be drawn; ids beyond it may not. `end_tokens` may in any case. Many
  /// models have more rows than their tokenizer has pieces. Empty = all are drawn.
  std::vector<bool> drawable;
  std::vector<int64_t> end_tokens;  ///< generation ends after any of them; it is not handed out

  Overflow overflow = Overflow::kStop;
  int64_t kept = 0;  ///< of kShift; less than the context
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
/// Throws Error when the prompt fills the model's context (with kStop), when it holds an unknown
/// id, and when the model's logits are no numbers.
GenerateResult generate(const Model& model, std::span<const int64_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(int64_t)>& on_token);

/// The window with which kShift goes on after `ids`, more than a context of `context` holds.
std::vector<int64_t> shifted_window(std::span<const int64_t> ids, int64_t context, int64_t kept);

}  // namespace twofour::model
