// Perplexity of a language model on a stream of tokens, over windows of its context.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "twofour/checkpoint/model_folder.h"
#include "twofour/model/model.h"

namespace twofour::eval {

struct PerplexityOptions {
  int64_t context = 0;  ///< ids per window; 0 = the model's context
  int64_t stride = 0;   ///< ids between the starts of windows; 0 = context
  int64_t batch = 4;    ///< windows at a time
  /// Finished windows and all windows; blocks for streamed_perplexity.
  std::function<void(int64_t done, int64_t all)> progress;
};

struct PerplexityResult {
  double perplexity = 0;  ///< exp(nll / tokens)
  double nll = 0;         ///< sum of -log p over the counted tokens, nats
  int64_t tokens = 0;     ///< counted tokens
  double seconds = 0;     ///< of the model's computation
};

/// Window k begins at k · stride and holds `context` ids. Every id of a window but its first is
/// predicted; in later windows, only ids that no earlier window covered are counted. The last
/// window is the first that reaches the end. Throws Error for fewer than two ids, a context beyond
/// the model's or below 2, a stride outside [1, context], or a loss that is not finite (with its
/// position and, if a weight is the cause, its name).
PerplexityResult perplexity(const model::Model& model, std::span<const int64_t> ids,
                            const PerplexityOptions& options);

struct StreamOptions {
  at::ScalarType dtype = at::kFloat;
  bool uses_24_kernels = false;  ///< as model::use_24_kernels
  /// For the hidden states between two blocks. If more windows are needed, the blocks are passed
  /// again.
  uint64_t most_bytes = uint64_t{2} << 30;
};

/// The same bits for a model that may exceed memory: each block is loaded and runs over all
/// windows.
PerplexityResult streamed_perplexity(const checkpoint::ModelFolder& folder,
                                     const StreamOptions& stream, std::span<const int64_t> ids,
                                     const PerplexityOptions& options);

}  // namespace twofour::eval
