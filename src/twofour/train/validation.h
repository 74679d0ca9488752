#pragma once

#include "twofour/model/gpt2.h"
#include "twofour/text/token_file.h"

namespace twofour::train {

/// The mean next-token negative log likelihood (nats) over at most `windows` windows of the model's
/// context, spread evenly over `data`, `batch` at a time. The same windows every time. A file
/// shorter than one window is one shorter window.
double validation_loss(const model::Gpt2& model, const text::TokenFile& data, int64_t batch,
                       int64_t windows);

}  // namespace twofour::train
