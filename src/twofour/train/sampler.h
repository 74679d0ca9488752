// What a model under training writes, for whoever watches the run.
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
  /// Reads the tokenizer beside the data. Throws Error where there is none, and for a prompt that
  /// fills the context.
  explicit Sampler(const TrainOptions& options);

  /// How `model` continues the prompt with its forward weights of now, after `step` steps: a pure
  /// function of them, the seed and the step. Changes nothing that training depends on.
  std::string continuation(const model::Model& model, int64_t step) const;

 private:
  const TrainOptions& options_;
  text::Tokenizer tokenizer_;
  std::vector<int64_t> prompt_;
};

}  // namespace twofour::train
