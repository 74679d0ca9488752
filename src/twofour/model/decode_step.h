// One step of generation: the newest token of one or several sequences passes all blocks on raw
// pointers, with buffers that stay from step to step. Many tokens of a sequence at once, and
// gradients, are what the models' own forward pass is for (gpt2.h, llama.h). B sequences, R rows of
// a step, V vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "twofour/model/attention.h"
#include "twofour/model/decode_plan.h"

namespace twofour::model {

/// A token, which sequence of the cache it belongs to, and how many tokens come before it there.
struct DecodeRow {
  int64_t id = 0, sequence = 0, position = 0;
};

class DecodeStep {
 public:
  /// `plan` must be runnable. It shares the plan's tensors, which must not change while it is used.
  explicit DecodeStep(DecodePlan plan);
  ~DecodeStep();
  DecodeStep(DecodeStep&&) noexcept;
  DecodeStep& operator=(DecodeStep&&) noexcept;

  /// The logits [R, V] of the tokens that follow `rows`, as float32, valid until the next run. Keys
  /// and values of the rows are written to `cache` (of the plan's model) at their positions, behind
  /// those of earlier tokens; a row sees its sequence up to itself, rows of the same step included.
  /// The cache's length is the caller's to change. Rounds where the forward pass rounds; sums have
  /// another order. Throws Error for an id outside the vocabulary and a position outside the cache
  /// or the context; the cache is unchanged then.
  std::span<const float> run(std::span<const DecodeRow> rows, KeyValueCache& cache);

  class Runner;

 private:
  std::unique_ptr<Runner> runner_;
};

}  // namespace twofour::model
