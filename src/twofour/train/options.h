// What a training run can be told. The defaults are those of `twofour train --help`; the command
// declares one flag a field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "twofour/checkpoint/model_config.h"
#include "twofour/model/architectures.h"
#include "twofour/train/methods.h"

namespace twofour::train {

struct ModelOptions {
  model::ModelConfig config;  ///< the vocabulary comes from the data
  Method method;              ///< a preset of train/methods.h, its values changed or not
  /// Of the products: float32, bfloat16 or float16; master weights are float32.
  std::string dtype = "float32";
  bool recompute = false;  ///< recompute activations in backward: less memory, a third more time
  /// A Hugging Face folder whose weights are the initial ones; empty: drawn from the seed. `config`
  /// is the folder's then.
  std::filesystem::path init;
  checkpoint::SpecialIds special;  ///< those of `init`
  /// Where ForwardWeight::kFixed has its masks from: a file of masks, or a folder with one or whose
  /// zeros are meant. Empty: `init`.
  std::filesystem::path masks;
  /// A folder whose model is distilled; empty: none. The loss is (1 - distill_weight) · that of the
  /// next token + distill_weight · KL(teacher || model).
  std::filesystem::path teacher;
  double distill_weight = 0.5;

  model::Sizes sizes() const { return model::sizes_of(config); }
};

/// One step trains on batch · accumulate · context tokens.
struct DataOptions {
  std::filesystem::path folder;  ///< of train.bin and val.bin, as `twofour data` writes it
  int64_t context = 0;           ///< tokens of a sequence, at most the model's context; 0 = that
  int64_t batch = 8;             ///< sequences of a micro-batch: raise it until the memory is full
  int64_t accumulate = 1;        ///< micro-batches whose gradients make one optimiser step
  /// Windows of `context` tokens, spread over val.bin; 0 = no validation.
  int64_t validation_windows = 64;
};

/// AdamW (Loshchilov & Hutter 2019), its schedule, loss scaling and divergence.
struct OptimizerOptions {
  int64_t steps = 1000;
  double learning_rate = 6e-4;
  double min_learning_rate = 6e-5;  ///< where the cosine ends
  int64_t warmup = 100;             ///< steps over which the learning rate rises from 0
  double weight_decay = 0.1;        ///< of matrices only
  double beta1 = 0.9;               ///< β2 is the method's
  double epsilon = 1e-8;
  double clip = 1.0;  ///< largest norm of the whole gradient; 0 = no clipping
  /// First factor of the loss's gradient, which then adapts; 0 = none. Unset: 65536 with float16,
  /// else none.
  std::optional<double> loss_scale;
  int64_t loss_scale_growth = 2000;  ///< finite steps in a row before the scale doubles
  /// A gradient norm this many times the usual, five steps in a row, ends the run; 0 = never.
  double divergence_factor = 1000;
};

struct RunOptions {
  std::filesystem::path
      out;              ///< run folder: config.toml, log.jsonl, events.*, checkpoints/, model/
  uint64_t seed = 1;    ///< of the initial weights, the data order and MVUE
  bool resume = false;  ///< go on from the newest checkpoint of `out`
  /// … from the checkpoint of this step; newer ones are set aside.
  std::optional<int64_t> resume_from;
  /// What differs from the checkpoint's options is taken on, where a run may change it (see
  /// changeable_options()); else refused.
  bool may_change = true;
  /// Go on with this process' threads, not with the run's.
  bool keeps_threads = false;

  // What is written, in steps; 0 = never (the last step always does all three). Part of no result:
  // they may differ on resume.
  int64_t log_every = 10;
  int64_t validate_every = 100;
  int64_t checkpoint_every = 250;
  int64_t keep = 2;  ///< newest checkpoints that stay
  /// Stop with a checkpoint after this step, as if asked to; 0 = at the end.
  int64_t stop_after = 0;
  bool quiet = false;  ///< no metrics on stdout (for --json)
  /// Every so many steps the model continues `sample_prompt` by `sample_tokens` tokens.
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
