#include "twofour/cli/run_flags.h"

#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/numbers.h"
#include "twofour/cli/values.h"

namespace twofour::cli {
namespace {

// "5000000", "5M", "500k" or "1.5B"; nullopt for other text.
std::optional<double> token_count(std::string_view text) {
  static const std::map<char, double> kUnits = {{'k', 1e3}, {'K', 1e3}, {'M', 1e6}, {'B', 1e9}};
  double unit = 1;
  if (!text.empty() && kUnits.contains(text.back())) {
    unit = kUnits.at(text.back());
    text.remove_suffix(1);
  }
  const std::optional<double> number = parse_number(text);
  if (!number || !between(1, 1e18).contains(*number * unit)) return std::nullopt;
  return *number * unit;
}

// "step-250" or "250". It implies --resume.
void read_resume_from(RunFlags& flags) {
  if (flags.resume_from.empty()) return;
  std::string_view number = flags.resume_from;
  if (number.starts_with("step-")) number.remove_prefix(5);
  const auto step = parse_number<int64_t>(number);
  if (!step || *step < 0) {
    fail_usage("--resume-from must name a checkpoint as step-250, not \"{}\"",
               printable(flags.resume_from));
  }
  flags.options.run.resume = true;
  flags.options.run.resume_from = *step;
}

// RUN/config.toml of a resumable run.
std::string config_of_run(const fs::path& run) {
  if (run.empty()) fail_usage("--out is missing: the folder of the run to resume");
  const fs::path kept = run / "config.toml";
  if (!fs::exists(kept)) {
    fail_usage("there is no run in \"{}\": leave --resume out to start one", run.string());
  }
  return kept.string();
}

// The config file of the run to resume; empty: none.
std::string config_of_resumed_run(RunFlags& flags) {
  read_resume_from(flags);
  return flags.options.run.resume ? config_of_run(flags.out) : std::string();
}

// A config may hold options for a later part of a run.
void check_use(const train::TrainOptions& options, const GivenOptions& given) {
  const auto is_typed = [&](const char* name) { return given.on_command_line.contains(name); };
  if (options.run.sample_every == 0 && (is_typed("sample-prompt") || is_typed("sample-tokens"))) {
    fail_usage("--sample-prompt and --sample-tokens make no sense without --sample-every");
  }
  if (options.first_loss_scale() == 0 && is_typed("loss-scale-growth")) {
    fail_usage("--loss-scale-growth {} makes no sense without a --loss-scale",
               options.optimizer.loss_scale_growth);
  }
}

// A resumed run keeps its dtype.
void keep_dtype(CLI::App& command, const RunFlags& flags, const GivenOptions& given) {
  const auto dtype = given.in_config.find("dtype");
  if (flags.options.model.dtype == "auto" && flags.options.run.resume &&
      dtype != given.in_config.end()) {
    set_option(command, "dtype", dtype->second);
  }
}

}  // namespace

void add_run_folder_flags(CLI::App& command, RunFlags& flags) {
  command.add_option("--data", flags.data, "folder of train.bin and val.bin")->type_name("DIR");
  command.add_option("--out", flags.out, "folder of this run")->type_name("RUN");
  command
      .add_flag("--resume", flags.options.run.resume,
                "resume from the newest checkpoint of --out; options given here override the run's")
      ->configurable(false);
  command
      .add_option("--resume-from", flags.resume_from,
                  "resume from this checkpoint; newer ones are set aside")
      ->configurable(false)
      ->type_name("step-N");
}

void add_optimizer_flags(CLI::App& command, RunFlags& flags) {
  train::TrainOptions& options = flags.options;
  const auto add = [&](const char* name, auto& value, const Range& range, const char* help) {
    add_number(command, name, value, range, help)->group("Training");
  };
  add("--steps", options.optimizer.steps, between(1, kMostSteps), "optimiser steps");
  add("--batch", options.data.batch, between(1, 65536), "sequences per micro-batch");
  add("--accumulate", options.data.accumulate, between(1, 65536), "micro-batches per step");
  add("--lr", options.optimizer.learning_rate, above(0), "highest learning rate");
  add("--min-lr", flags.min_learning_rate, at_least(0),
      "lowest learning rate (default: a tenth of --lr)");
  add("--warmup", options.optimizer.warmup, between(0, kMostSteps),
      "steps of learning rate warm-up");
  add("--weight-decay", options.optimizer.weight_decay, at_least(0),
      "AdamW's weight decay, on matrices only");
  add("--beta1", options.optimizer.beta1, proper_share(), "AdamW's first moment");
  add("--epsilon", options.optimizer.epsilon, above(0), "AdamW's epsilon");
  add("--clip", options.optimizer.clip, at_least(0), "largest gradient norm, 0 = no clipping");
  add("--loss-scale", options.optimizer.loss_scale, between(0, 1e37),
      "initial loss scale, which adapts; 0 = none (float16: 65536)");
  add("--loss-scale-growth", options.optimizer.loss_scale_growth, between(1, kMostSteps),
      "consecutive finite steps before the scale doubles");
  add("--divergence-factor", options.optimizer.divergence_factor, at_least(0),
      "end the run after five consecutive gradient norms this many times the usual; 0 = never");
}

void add_output_flags(CLI::App& command, RunFlags& flags) {
  train::TrainOptions& options = flags.options;
  const auto add = [&](const char* name, int64_t& value, double least, const char* help) {
    return add_number(command, name, value, between(least, kMostSteps), help)->group("Output");
  };
  add("--log-every", options.run.log_every, 0, "steps between log lines; 0 = only at the end");
  add("--validate-every", options.run.validate_every, 0, "steps, 0 = only at the end");
  add("--validation-windows", options.data.validation_windows, 0, "windows of val.bin, 0 = none");
  add("--checkpoint-every", options.run.checkpoint_every, 0, "steps, 0 = only at the end");
  add("--keep", options.run.keep, 1, "number of newest checkpoints to keep");
  add("--sample-every", options.run.sample_every, 0,
      "steps between samples that continue --sample-prompt; 0 = never");
  add("--sample-tokens", options.run.sample_tokens, 1, "maximum number of tokens per sample");
  command.add_option("--sample-prompt", options.run.sample_prompt, "text to continue")
      ->type_name("TEXT")
      ->group("Output");
  add("--stop-after", options.run.stop_after, 0,
      "stop with a checkpoint after this step, 0 = at the end")
      ->configurable(false);
}

void add_budget_flag(CLI::App& command, RunFlags& flags) {
  CLI::Option* budget = command.add_option(
      "--scale-to-budget", flags.budget,
      "shrink steps, and what is counted in them, so that the run sees this many tokens (5M)");
  budget->configurable(false)->check(CLI::Validator(
      [](std::string& text) -> std::string {
        return token_count(text)
                   ? ""
                   : fmt::format("must be a number of tokens as 5000000 or 5M, not \"{}\"",
                                 printable(text));
      },
      ""));
  budget->type_name("TOKENS");
}

double scale_steps_to_budget(CLI::App& command, const RunFlags& flags, int64_t context,
                             const GivenOptions& given) {
  if (given.on_command_line.contains("steps")) {
    fail_usage("--steps and --scale-to-budget both set the number of steps: give one of them");
  }
  const train::TrainOptions& options = flags.options;
  const auto tokens_per_step =
      static_cast<double>(options.data.batch * options.data.accumulate * context);
  const double budget = token_count(flags.budget).value();
  const auto steps = static_cast<double>(options.optimizer.steps);
  const double scaled = std::floor(budget / tokens_per_step);
  if (scaled < 1) {
    fail_usage(
        "--scale-to-budget {} is less than one step of {:.0f} tokens: lower --batch, "
        "--accumulate or --context",
        flags.budget, tokens_per_step);
  }
  if (scaled > steps) {
    fail_usage("--scale-to-budget {} is more than the run's {:.0f} steps of {:.0f} tokens",
               flags.budget, steps, tokens_per_step);
  }
  set_option(command, "steps", fmt::format("{:.0f}", scaled));
  return scaled / steps;
}

void shrink_steps(CLI::App& command, const std::string& name, double value, double share,
                  const GivenOptions& given) {
  if (given.on_command_line.contains(name) || value <= 0) return;
  set_option(command, name, fmt::format("{:.0f}", std::max(1.0, std::round(value * share))));
}

void add_run_config_options(CLI::App& command, RunFlags& flags,
                            std::function<void(const GivenOptions& given)> fill_in) {
  ConfigHooks hooks;
  hooks.implicit_file = [&flags] { return config_of_resumed_run(flags); };
  hooks.complete = [&command, &flags, fill_in = std::move(fill_in)](const GivenOptions& given) {
    flags.options.run.keeps_threads =
        given.on_command_line.contains("threads") || given.in_config.contains("threads");
    check_use(flags.options, given);
    keep_dtype(command, flags, given);
    fill_in(given);
  };
  add_config_options(command, hooks);
}

void complete_run(const RunFlags& flags, train::TrainOptions& options) {
  if (flags.data.empty()) fail_usage("--data is missing: a folder that \"twofour data\" wrote");
  if (flags.out.empty()) fail_usage("--out is missing: the folder of this run");
  options.data.folder = fs::absolute(flags.data);
  options.run.out = flags.out;
  if (options.run.resume && !fs::exists(options.data.folder / "train.bin")) {
    fail(
        "the run's data is no longer in \"{}\": give its new folder with --data (its content is "
        "compared)",
        options.data.folder.string());
  }
  options.optimizer.min_learning_rate =
      flags.min_learning_rate.value_or(options.optimizer.learning_rate / 10);
}

}  // namespace twofour::cli
