// One step of generation: the newest token of each sequence passes all blocks on raw pointers, with
// buffers that are kept between steps. Many tokens of a sequence at once, and gradients, need the
// models' own forward pass (gpt2.h, llama.h). B sequences, R rows of a step, V vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "twofour/model/attention.h"
#include "twofour/model/decode_plan.h"

namespace twofour::model {

/// A token, its sequence in the cache, and the number of earlier tokens there.
struct DecodeRow {
  int64_t id = 0, sequence = 0, position = 0;
};

class DecodeStep {
 public:
  /// `plan` must be runnable. Its tensors are shared and must not change during use.
  explicit DecodeStep(DecodePlan plan);
  ~DecodeStep();
  DecodeStep(DecodeStep&&) noexcept;
  DecodeStep& operator=(DecodeStep&&) noexcept;

  /// The logits [R, V] of the tokens that follow `rows`, as float32, valid until the next run. Keys
  /// and values of the rows are written to `cache` (of the plan's model) at their positions, after
  /// those of earlier tokens. A row sees its sequence up to itself, including rows of the same
  /// step. The caller changes the cache's length. Rounding happens at the same places as in the
  /// forward pass; the order of sums differs. Throws Error for an id outside the vocabulary and a
  /// position outside the cache or the context, and leaves the cache unchanged.
  std::span<const float> run(std::span<const DecodeRow> rows, KeyValueCache& cache);

  class Runner;

 private:
  std::unique_ptr<Runner> runner_;
};

}  // namespace twofour::model
