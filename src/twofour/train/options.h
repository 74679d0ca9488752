// What a pre-training run can be told. The defaults are those of `twofour train --help`; the
// command declares one flag a field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "twofour/model/gpt2.h"
#include "twofour/train/methods.h"

namespace twofour::train {

struct TrainOptions {
  // Where from and where to.
  std::filesystem::path data;  ///< folder of train.bin and val.bin, as `twofour data` writes it
  std::filesystem::path
      out;              ///< run folder: config.toml, log.jsonl, events.*, checkpoints/, model/
  bool resume = false;  ///< go on from the newest checkpoint of `out`
  /// … from the checkpoint of this step; newer ones are set aside.
  std::optional<int64_t> resume_from;
  /// What differs from the checkpoint's options is taken on, where a run may change it (see
  /// changeable_options()); else refused.
  bool may_change = true;
  /// Go on with this process' threads, not with the run's.
  bool keeps_threads = false;

  // What is trained. `sizes.vocabulary` comes from the data, `sizes.feed_forward` is 4 · width.
  model::Gpt2Config sizes;
  Method method;  ///< a preset of train/methods.h, its values changed or not
  /// Of the products: float32, bfloat16 or float16; master weights are float32.
  std::string dtype = "float32";
  uint64_t seed = 1;  ///< of the initial weights, the data order and MVUE

  // How much of it. One step trains on batch · accumulate · context tokens.
  int64_t steps = 1000;
  int64_t batch = 8;       ///< sequences of a micro-batch: raise it until the memory is full
  int64_t accumulate = 1;  ///< micro-batches whose gradients make one optimiser step
  bool recompute = false;  ///< recompute activations in backward: less memory, a third more time

  // AdamW (Loshchilov & Hutter 2019). Decay applies to matrices only.
  double learning_rate = 6e-4;
  double min_learning_rate = 6e-5;  ///< where the cosine ends
  int64_t warmup = 100;             ///< steps over which the learning rate rises from 0
  double weight_decay = 0.1;
  double beta1 = 0.9;  ///< β2 is the method's
  double epsilon = 1e-8;
  double clip = 1.0;  ///< largest norm of the whole gradient; 0 = no clipping

  // Loss scaling and divergence.
  /// First factor of the loss's gradient, which then adapts; 0 = none. Unset: 65536 with float16,
  /// else none.
  std::optional<double> loss_scale;
  double first_loss_scale() const {
    constexpr double kFloat16Scale = 65536;
    return loss_scale.value_or(dtype == "float16" ? kFloat16Scale : 0.0);
  }
  int64_t loss_scale_growth = 2000;  ///< finite steps in a row before the scale doubles
  /// A gradient norm this many times the usual, five steps in a row, ends the run; 0 = never.
  double divergence_factor = 1000;

  // What is written, in steps; 0 = never (the last step always does all three). Part of no result:
  // they may differ on resume.
  int64_t log_every = 10;
  int64_t validate_every = 100;
  /// Windows of `context` tokens, spread over val.bin; 0 = no validation.
  int64_t validation_windows = 64;
  int64_t checkpoint_every = 250;
  int64_t keep = 2;  ///< newest checkpoints that stay
  int64_t stop_after =
      0;               ///< stop with a checkpoint after this step, as if asked to; 0 = at the end
  bool quiet = false;  ///< no metrics on stdout (for --json)
  /// Every so many steps the model continues `sample_prompt` by `sample_tokens` tokens.
  int64_t sample_every = 0;
  std::string sample_prompt;
  int64_t sample_tokens = 64;
};

}  // namespace twofour::train
