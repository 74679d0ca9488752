// Samples of a model during training, for a person who watches the run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "twofour/model/model.h"
#include "twofour/text/tokenizer.h"
#include "twofour/train/options.h"

namespace twofour::train {

class Sampler {
 public:
  /// Reads the tokenizer beside the data. Throws Error if it is missing or the prompt fills the
  /// context.
  explicit Sampler(const TrainOptions& options);

  /// The continuation of the prompt with the current forward weights, after `step` steps. It only
  /// depends on them, the seed and the step, and does not affect training.
  std::string continuation(const model::Model& model, int64_t step) const;

 private:
  const TrainOptions& options_;
  text::Tokenizer tokenizer_;
  std::vector<int64_t> prompt_;
};

}  // namespace twofour::train
