#pragma once

#include <cstdint>

#include "twofour/model/model.h"
#include "twofour/tensor/ranks.h"
#include "twofour/text/token_file.h"

namespace twofour::train {

struct ValidationWindows {
  int64_t count = 0;    ///< largest number of windows
  int64_t context = 0;  ///< tokens per window
  int64_t batch = 0;    ///< windows at a time
};

/// The mean next-token negative log likelihood (nats) over windows spread evenly over `data` and
/// shared by the ranks. The windows are the same each time. A file shorter than one window is one
/// shorter window.
double validation_loss(const model::Model& model, const text::TokenFile& data,
                       const ValidationWindows& windows, tensor::Ranks& ranks);

}  // namespace twofour::train
