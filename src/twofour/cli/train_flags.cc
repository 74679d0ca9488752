#include "twofour/cli/train_flags.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/numbers.h"
#include "twofour/cli/model_flags.h"
#include "twofour/cli/output_folder.h"
#include "twofour/cli/values.h"
#include "twofour/train/methods.h"
#include "twofour/train/recipes.h"

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

// An axis checks its own values.
void add_axis(CLI::App& command, TrainFlags& flags, const train::Axis& axis) {
  CLI::Option* option = command.add_option("--" + axis.name, flags.axes[axis.name], axis.help)
                            ->group("Method (override --method)");
  if (!axis.choices.empty()) {
    check_choice(option, axis.choices)->type_name("NAME");
    return;
  }
  const auto check = [&axis](std::string& text) -> std::string {
    try {
      train::Method scratch;
      axis.set(scratch, text);
      return "";
    } catch (const Error& error) {
      // The caller names the option.
      const std::string message = error.what(), name = "--" + axis.name + " ";
      return message.starts_with(name) ? message.substr(name.size()) : message;
    }
  };
  option->check(CLI::Validator(check, ""))->type_name(axis.range.empty() ? "TEXT" : "X");
  if (!axis.range.empty()) describe_range(*option, axis.range);
}

void add_method_options(CLI::App& command, TrainFlags& flags) {
  std::vector<std::string> names;
  for (const train::Method& method : train::methods()) names.push_back(method.name);
  add_choice(command, "--method", flags.method, names, "method that makes the weights sparse");
  for (const train::Axis& axis : train::axes()) add_axis(command, flags, axis);
  command
      .add_option(
          "--recipe", flags.recipe,
          "a published run, MODEL-METHOD (gpt2-124m-fst): sets the options that are not given")
      ->configurable(false)
      ->type_name("NAME");
  CLI::Option* budget = command.add_option(
      "--scale-to-budget", flags.budget,
      "shrink steps, warm-up and mask interval so that the run sees this many tokens (5M)");
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

void add_optimizer_options(CLI::App& command, TrainFlags& flags) {
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

void add_output_options(CLI::App& command, TrainFlags& flags) {
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

void add_training_options(CLI::App& command, TrainFlags& flags) {
  train::TrainOptions& options = flags.options;
  add_dtype(command, "--dtype", options.model.dtype,
            "dtype of the products; auto: the faster of float32 and bfloat16 on this machine",
            {"auto"});
  add_number(command, "--seed", options.run.seed, at_least(0),
             "seed of weights, data order and MVUE");
  command.add_flag("--recompute", options.model.recompute,
                   "recompute activations: less memory, slower");
  add_optimizer_options(command, flags);
  add_output_options(command, flags);
}

// Throws Error (usage) that names a bad value.
train::Method method_of(const TrainFlags& flags) {
  train::Method method = train::method_named(flags.method);
  for (const train::Axis& axis : train::axes()) axis.set(method, flags.axes.at(axis.name));
  return method;
}

// Reduces the steps, and in proportion the options counted in steps that the command line does not
// set.
void scale_to_budget(CLI::App& command, const TrainFlags& flags, const train::Method& method,
                     const GivenOptions& given) {
  if (given.on_command_line.contains("steps")) {
    fail_usage("--steps and --scale-to-budget both set the number of steps: give one of them");
  }
  const train::TrainOptions& options = flags.options;
  const int64_t context = context_of(flags);
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
  const auto shrink = [&](const std::string& name, double value) {
    if (given.on_command_line.contains(name) || value <= 0) return;
    const double shrunk = std::max(1.0, std::round(value * scaled / steps));
    set_option(command, name, fmt::format("{:.0f}", shrunk));
  };
  shrink("warmup", static_cast<double>(options.optimizer.warmup));
  shrink("mask-interval", static_cast<double>(method.mask_interval));
  // Shares do not change.
  if (method.dense_start >= 1) shrink("dense-start", method.dense_start);
  if (method.dense_end >= 1) shrink("dense-end", method.dense_end);
}

// If the command line names another method than the config file or the recipe, the command line's
// method sets its own values. Values for every method stay, unless they are only the other
// method's.
bool is_replaced(const train::Axis& axis, const train::Method& configured,
                 const GivenOptions& given) {
  if (given.on_command_line.contains(axis.name)) return false;
  const auto in_config = given.in_config.find(axis.name);
  if (!axis.goes_with_every_method || in_config == given.in_config.end()) return true;
  train::Method of_config = configured;
  axis.set(of_config, in_config->second);
  return axis.get(of_config) == axis.get(configured);
}

// In order of precedence: the command line, the config file, the recipe, the method.
void fill_in(CLI::App& command, TrainFlags& flags, const GivenOptions& given) {
  std::string configured;  // the method of the config file or the recipe
  if (!flags.recipe.empty()) {
    for (const auto& [name, value] : train::recipe_named(flags.recipe)) {
      set_option_if_unset(command, name, value);
      if (name == "method") configured = value;
    }
  }
  if (given.in_config.contains("method")) configured = given.in_config.at("method");
  const train::Method& preset = train::method_named(flags.method);
  const bool is_other = !configured.empty() && configured != flags.method;
  for (const train::Axis& axis : train::axes()) {
    if (is_other && is_replaced(axis, train::method_named(configured), given)) {
      set_option(command, axis.name, axis.get(preset));
    } else {
      set_option_if_unset(command, axis.name, axis.get(preset));
    }
  }
  const train::Method method = method_of(flags);
  if (!flags.budget.empty()) scale_to_budget(command, flags, method, given);
}

// Refuses options on the command line that have no effect. A config may hold them for a later part
// of a run.
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

// "step-250" or "250". It implies --resume.
void read_resume_from(TrainFlags& flags) {
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

}  // namespace

void add_train_flags(CLI::App& command, TrainFlags& flags) {
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
  add_model_flags(command, flags);
  add_method_options(command, flags);
  add_training_options(command, flags);
  add_threads_option(command);
  ConfigHooks hooks;
  hooks.implicit_file = [&flags] {
    read_resume_from(flags);
    return flags.options.run.resume ? config_of_run(flags.out) : std::string();
  };
  hooks.complete = [&command, &flags](const GivenOptions& given) {
    flags.options.run.keeps_threads =
        given.on_command_line.contains("threads") || given.in_config.contains("threads");
    check_use(flags.options, given);
    if (!flags.init.empty() && given.on_command_line.contains("model")) {
      fail_usage("--model and --init both define the model: give one of them");
    }
    // A resumed run keeps its dtype.
    const auto dtype = given.in_config.find("dtype");
    if (flags.options.model.dtype == "auto" && flags.options.run.resume &&
        dtype != given.in_config.end()) {
      set_option(command, "dtype", dtype->second);
    }
    fill_in(command, flags, given);
  };
  add_config_options(command, hooks);
}

train::TrainOptions complete_options(const TrainFlags& flags) {
  train::TrainOptions options = flags.options;
  if (flags.data.empty()) fail_usage("--data is missing: a folder that \"twofour data\" wrote");
  if (flags.out.empty()) fail_usage("--out is missing: the folder of this run");
  options.data.folder = fs::absolute(flags.data);
  options.run.out = flags.out;
  options.model.method = method_of(flags);
  if (options.run.resume && !fs::exists(options.data.folder / "train.bin")) {
    fail(
        "the run's data is no longer in \"{}\": give its new folder with --data (its content is "
        "compared)",
        options.data.folder.string());
  }
  complete_model(flags, options);
  if (!options.run.resume) {
    for (const fs::path& model : {options.model.init, options.model.teacher}) {
      check_outside_model("--out", options.run.out, model);
    }
  }
  options.optimizer.min_learning_rate =
      flags.min_learning_rate.value_or(options.optimizer.learning_rate / 10);
  return options;
}

std::string kept_config(CLI::App& command, const train::TrainOptions& options,
                        std::vector<std::string> leave_out) {
  set_option(command, "data", options.data.folder.string());
  const auto keep_path = [&](const char* name, const fs::path& path) {
    if (!path.empty()) set_option(command, name, path.string());
  };
  const std::string model = command.get_option("--model")->as<std::string>();
  if (fs::exists(model)) keep_path("model", fs::absolute(model));
  keep_path("init", options.model.init);
  keep_path("masks", options.model.masks);
  keep_path("distill", options.model.teacher);
  leave_out.insert(leave_out.end(), {"out", "threads"});
  return effective_config(command, leave_out);
}

}  // namespace twofour::cli
