#include <cmath>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/cli/command.h"
#include "twofour/model/presets.h"
#include "twofour/text/token_file.h"
#include "twofour/train/methods.h"
#include "twofour/train/trainer.h"

namespace twofour::cli {
namespace {

// What the flags say before the model's sizes are put together.
struct TrainFlags {
  train::TrainOptions options;
  std::string data, out, model = "gpt2-124m";
  std::optional<int64_t> layers, heads, width, context, feed_forward;
  std::optional<double> min_learning_rate;
  int64_t vocabulary = 0;
  bool json = false;
};

void add_size_options(CLI::App& command, TrainFlags& flags) {
  command.add_option("--model", flags.model, "one of " + model::preset_names())->type_name("NAME");
  const auto size = [&](const char* name, auto& value, const char* help) {
    command.add_option(name, value, help)->type_name("N")->group("Sizes (override --model)");
  };
  size("--layers", flags.layers, "transformer blocks");
  size("--heads", flags.heads, "attention heads; must divide the width");
  size("--width", flags.width, "width of the residual stream");
  size("--context", flags.context, "tokens of a sequence");
  size("--feed-forward", flags.feed_forward, "feed-forward width (4 x width; half of it for half)");
  size("--vocabulary", flags.vocabulary, "token ids; 0 = as the data says");
}

void add_training_options(CLI::App& command, TrainFlags& flags) {
  train::TrainOptions& options = flags.options;
  std::string names;
  for (const auto& method : train::methods()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", method.name);
  }
  const auto add = [&](const char* name, auto& value, const char* help, const char* group) {
    return command.add_option(name, value, help)->group(group);
  };
  command.add_option("--method", options.method, "one of " + names)->type_name("NAME");
  command.add_option("--dtype", options.dtype, "of the products: float32 or bfloat16")
      ->type_name("T");
  command.add_option("--seed", options.seed, "of weights, data order and MVUE");
  command.add_flag("--recompute", options.recompute, "recompute activations: less memory, slower");
  add("--steps", options.steps, "optimiser steps", "Training");
  add("--batch", options.batch, "sequences of a micro-batch", "Training");
  add("--accumulate", options.accumulate, "micro-batches of a step", "Training");
  add("--lr", options.learning_rate, "highest learning rate", "Training");
  add("--min-lr", flags.min_learning_rate, "lowest learning rate (default: a tenth of --lr)",
      "Training");
  add("--warmup", options.warmup, "steps of rising learning rate", "Training");
  add("--weight-decay", options.weight_decay, "AdamW's, on matrices only", "Training");
  add("--beta1", options.beta1, "AdamW's first moment", "Training");
  add("--beta2", options.beta2, "AdamW's second moment", "Training");
  add("--epsilon", options.epsilon, "AdamW's", "Training");
  add("--clip", options.clip, "largest gradient norm, 0 = no clipping", "Training");
  add("--log-every", options.log_every, "steps", "Output");
  add("--validate-every", options.validate_every, "steps, 0 = only at the end", "Output");
  add("--validation-windows", options.validation_windows, "windows of val.bin", "Output");
  add("--checkpoint-every", options.checkpoint_every, "steps, 0 = only at the end", "Output");
  add("--keep", options.keep, "newest checkpoints that stay", "Output");
}

train::TrainOptions complete_options(const TrainFlags& flags) {
  train::TrainOptions options = flags.options;
  if (flags.data.empty()) fail_usage("--data is missing: a folder that \"twofour data\" wrote");
  if (flags.out.empty()) fail_usage("--out is missing: the folder of this run");
  options.data = flags.data;
  options.out = flags.out;
  options.sizes = model::preset(flags.model);
  const auto set = [](int64_t& size, const std::optional<int64_t>& flag) {
    if (flag) size = *flag;
  };
  set(options.sizes.layers, flags.layers);
  set(options.sizes.heads, flags.heads);
  set(options.sizes.width, flags.width);
  set(options.sizes.context, flags.context);
  const double share = train::method_named(options.method).feed_forward_share;
  options.sizes.feed_forward =
      static_cast<int64_t>(4.0 * static_cast<double>(options.sizes.width) * share);
  set(options.sizes.feed_forward, flags.feed_forward);
  options.sizes.vocabulary = flags.vocabulary;
  if (flags.vocabulary == 0) {
    const auto data = text::TokenFile::open(options.data / "train.bin");
    options.sizes.vocabulary = data.info().vocabulary_size;
    if (options.sizes.vocabulary == 0) {
      fail_usage("\"{}\" does not say its vocabulary: give --vocabulary", data.path().string());
    }
  }
  options.min_learning_rate = flags.min_learning_rate.value_or(options.learning_rate / 10);
  options.quiet = flags.json;
  return options;
}

nlohmann::ordered_json to_json(const train::TrainSummary& summary,
                               const train::TrainOptions& options) {
  const bool validated = std::isfinite(summary.validation_loss);
  nlohmann::ordered_json json = {{"run", options.out.string()},
                                 {"method", options.method},
                                 {"parameters", summary.parameters},
                                 {"steps", summary.steps},
                                 {"train_loss", summary.train_loss},
                                 {"validation_loss", nullptr},
                                 {"validation_perplexity", nullptr},
                                 {"tokens_per_second", summary.tokens_per_second},
                                 {"seconds", summary.seconds},
                                 {"flip_rate", summary.flip_rate},
                                 {"zeros", summary.zeros}};
  if (validated) {
    json["validation_loss"] = summary.validation_loss;
    json["validation_perplexity"] = std::exp(summary.validation_loss);
  }
  return json;
}

}  // namespace

void add_train(CLI::App& program) {
  CLI::App& command = *program.add_subcommand("train", "pre-train a model, dense or 2:4 sparse");
  auto flags = std::make_shared<TrainFlags>();
  command.add_option("--data", flags->data, "folder of train.bin and val.bin")->type_name("DIR");
  command.add_option("--out", flags->out, "folder of this run")->type_name("RUN");
  command.add_flag("--resume", flags->options.resume, "go on from the newest checkpoint of --out")
      ->configurable(false);
  add_size_options(command, *flags);
  add_training_options(command, *flags);
  add_threads_option(command);
  command.add_flag("--json", flags->json, "print one JSON object at the end and no metrics")
      ->configurable(false);
  add_config_options(command, [flags] {
    const fs::path kept = fs::path(flags->out) / "config.toml";
    return flags->options.resume && fs::exists(kept) ? kept.string() : std::string();
  });
  on_run(command, [flags, &command] {
    const train::TrainOptions options = complete_options(*flags);
    const train::TrainSummary summary =
        train::train(options, effective_config(command, {"out", "threads"}));
    if (flags->json) {
      fmt::print("{}\n", to_json(summary, options).dump());
    } else {
      fmt::print("the model is in {}\n", (options.out / "model").string());
    }
  });
}

}  // namespace twofour::cli
