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
  add_budget_flag(command, flags);
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
  add_optimizer_flags(command, flags);
  add_output_flags(command, flags);
}

// Throws Error (usage) that names a bad value.
train::Method method_of(const TrainFlags& flags) {
  train::Method method = train::method_named(flags.method);
  for (const train::Axis& axis : train::axes()) axis.set(method, flags.axes.at(axis.name));
  return method;
}

// Reduces the steps, and in proportion the options counted in steps that the command line does not
// set. Shares of the steps stay.
void scale_to_budget(CLI::App& command, const TrainFlags& flags, const train::Method& method,
                     const GivenOptions& given) {
  const double share = scale_steps_to_budget(command, flags, context_of(flags), given);
  const auto shrink = [&](const char* name, double value) {
    shrink_steps(command, name, value, share, given);
  };
  shrink("warmup", static_cast<double>(flags.options.optimizer.warmup));
  shrink("mask-interval", static_cast<double>(method.mask_interval));
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

}  // namespace

void add_train_flags(CLI::App& command, TrainFlags& flags) {
  add_run_folder_flags(command, flags);
  add_model_flags(command, flags);
  add_method_options(command, flags);
  add_training_options(command, flags);
  add_threads_option(command);
  add_run_config_options(command, flags, [&command, &flags](const GivenOptions& given) {
    if (!flags.init.empty() && given.on_command_line.contains("model")) {
      fail_usage("--model and --init both define the model: give one of them");
    }
    fill_in(command, flags, given);
  });
}

train::TrainOptions complete_options(const TrainFlags& flags) {
  train::TrainOptions options = flags.options;
  complete_run(flags, options);
  options.model.method = method_of(flags);
  complete_model(flags, options);
  if (!options.run.resume) {
    for (const fs::path& model : {options.model.init, options.model.teacher}) {
      check_run_folder(options.run.out, model);
    }
  }
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
