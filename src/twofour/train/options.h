// The options of a training run. The defaults are those of `twofour train --help`; the command
// declares one flag per field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "twofour/checkpoint/model_config.h"
#include "twofour/model/architectures.h"
#include "twofour/train/methods.h"
#include "twofour/train/small_moments.h"

namespace twofour::train {

struct ModelOptions {
  model::ModelConfig config;  ///< the vocabulary comes from the data
  Method method;              ///< a preset of train/methods.h, possibly with changed values
  /// The dtype of the products: float32, bfloat16 or float16. Master weights are float32.
  std::string dtype = "float32";
  bool recompute = false;  ///< recompute activations in backward: less memory, a third more time
  /// A Hugging Face folder with the initial weights and `config`; empty: drawn from the seed.
  std::filesystem::path init;
  checkpoint::SpecialIds special;  ///< from `init`
  /// The source of the masks of ForwardWeight::kFixed: a file of masks, or a folder with one or
  /// with zeros in its weights. Empty: `init`.
  std::filesystem::path masks;
  /// The folder of the teacher for distillation; empty: none. The loss is (1 - distill_weight) ·
  /// that of the next token + distill_weight · KL(teacher || model).
  std::filesystem::path teacher;
  double distill_weight = 0.5;

  model::Sizes sizes() const { return model::sizes_of(config); }
};

/// One step trains on batch · accumulate · context tokens.
struct DataOptions {
  std::filesystem::path folder;  ///< holds train.bin and val.bin, written by `twofour data`
  int64_t context = 0;           ///< tokens of a sequence, up to the model's context; 0 = that
  int64_t batch = 8;             ///< sequences per micro-batch: raise it until the memory is full
  int64_t accumulate = 1;        ///< micro-batches per optimiser step
  /// Windows of `context` tokens, spread over val.bin; 0 = no validation.
  int64_t validation_windows = 64;
};

/// AdamW (Loshchilov & Hutter 2019), its schedule, loss scaling and divergence.
struct OptimizerOptions {
  int64_t steps = 1000;
  double learning_rate = 6e-4;
  double min_learning_rate = 6e-5;  ///< the end of the cosine
  int64_t warmup = 100;             ///< steps over which the learning rate rises from 0
  double weight_decay = 0.1;        ///< on matrices only
  double beta1 = 0.9;               ///< β2 belongs to the method
  double epsilon = 1e-8;
  double clip = 1.0;  ///< largest norm of the whole gradient; 0 = no clipping
  /// The initial loss scale, which adapts; 0 = none. Unset: 65536 with float16, else none.
  std::optional<double> loss_scale;
  int64_t loss_scale_growth = 2000;     ///< consecutive finite steps before the scale doubles
  Moments moments = Moments::kFloat32;  ///< the form of AdamW's state
  /// Ends the run after five consecutive gradient norms this many times the usual; 0 = never.
  double divergence_factor = 1000;
};

struct RunOptions {
  std::filesystem::path
      out;              ///< run folder: config.toml, log.jsonl, events.*, checkpoints/, model/
  uint64_t seed = 1;    ///< for the initial weights, the data order and MVUE
  bool resume = false;  ///< resume from the newest checkpoint of `out`
  /// Resume from the checkpoint of this step; newer ones are set aside.
  std::optional<int64_t> resume_from;
  /// Accept options that differ from the checkpoint's, if a run may change them
  /// (changeable_options()); else refuse them.
  bool may_change = true;
  /// Use this process's threads, not the run's.
  bool keeps_threads = false;

  // Output intervals in steps; 0 = never (the last step always does all three). They affect no
  // result and may differ on resume.
  int64_t log_every = 10;
  int64_t validate_every = 100;
  int64_t checkpoint_every = 250;
  int64_t keep = 2;  ///< number of newest checkpoints to keep
  /// Stop with a checkpoint after this step, as on request; 0 = at the end.
  int64_t stop_after = 0;
  bool quiet = false;  ///< no metrics on stdout (for --json)
  /// Interval in steps at which the model continues `sample_prompt` by `sample_tokens` tokens.
  int64_t sample_every = 0;
  std::string sample_prompt;
  int64_t sample_tokens = 64;
};

struct TrainOptions {
  ModelOptions model;
  DataOptions data;
  OptimizerOptions optimizer;
  RunOptions run;

  int64_t context() const { return data.context > 0 ? data.context : model.sizes().context; }
  double first_loss_scale() const {
    constexpr double kFloat16Scale = 65536;
    return optimizer.loss_scale.value_or(model.dtype == "float16" ? kFloat16Scale : 0.0);
  }
};

}  // namespace twofour::train
