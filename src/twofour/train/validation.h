#pragma once

#include <cstdint>

#include "twofour/model/model.h"
#include "twofour/tensor/ranks.h"
#include "twofour/text/token_file.h"

namespace twofour::train {

struct ValidationWindows {
  int64_t count = 0;    ///< at most so many
  int64_t context = 0;  ///< tokens of each
  int64_t batch = 0;    ///< at a time
};

/// The mean next-token negative log likelihood (nats) over windows that are spread evenly over
/// `data`; the ranks share them. The same windows every time. A file shorter than one window is one
/// shorter window.
double validation_loss(const model::Model& model, const text::TokenFile& data,
                       const ValidationWindows& windows, tensor::Ranks& ranks);

}  // namespace twofour::train
