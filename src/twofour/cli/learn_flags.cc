#include "twofour/cli/learn_flags.h"

#include <algorithm>
#include <array>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/cli/mask/masks.h"
#include "twofour/cli/model_option.h"
#include "twofour/cli/output_folder.h"
#include "twofour/cli/values.h"
#include "twofour/learn/recipes.h"
#include "twofour/tensor/dtype.h"

namespace twofour::cli {
namespace {

constexpr std::array kPriorMethods = {"magnitude", "wanda", "sparsegpt", "ria"};

// Small enough that no product of these values leaves the range of float32.
constexpr double kLeastFactor = 1e-10, kLargestFactor = 1e10;

bool is_prior_method(const std::string& prior) {
  return std::find(kPriorMethods.begin(), kPriorMethods.end(), prior) != kPriorMethods.end();
}

void add_mask_flags(CLI::App& command, LearnFlags& flags) {
  learn::LearnOptions& learn = flags.learn;
  const auto number = [&](const char* name, double& value, const Range& range, const char* help) {
    add_number(command, name, value, range, help)->group("Masks");
  };
  const Range factor = between(kLeastFactor, kLargestFactor);
  command
      .add_option("--pattern", flags.pattern,
                  "N of every M entries of a row stay, 1:2 to 4:8 or any with at "
                  "most 70 masks a group (--N, --M)")
      ->type_name("N:M")
      ->group("Masks");
  command
      .add_option("--include", learn.include,
                  "learn only the masks of weights whose name matches this regular expression")
      ->type_name("REGEX")
      ->group("Masks");
  command.add_option("--exclude", learn.exclude, "keep layers dense whose weight's name matches")
      ->type_name("REGEX")
      ->group("Masks");
  command
      .add_option("--prior", flags.prior,
                  "masks to begin with: magnitude, wanda, sparsegpt or ria (prunes first), a file "
                  "of masks, a pruned folder, or none")
      ->type_name("MASKS")
      ->group("Masks");
  number("--prior-strength", learn.prior.strength, between(0, kLargestFactor),
         "of the prior, in deviations of the logits (--prior-strength)");
  add_number(command, "--prior-samples", learn.prior.samples, between(1, 1e7),
             "windows of the training data on which a --prior method prunes")
      ->group("Masks");
  number("--kappa", learn.kappa.first, factor,
         "factor of the logits at the first step (--gumbel-scale-range)");
  number("--kappa-end", learn.kappa.last, factor, "and after the last");
  number("--tau", learn.tau.first, factor,
         "temperature at the first step (--gumbel-temperature-range)");
  number("--tau-end", learn.tau.last, factor, "and after the last");
  number("--weight-reg", learn.regularisation, at_least(0),
         "factor of the kept weights' squares, which are rewarded; falls to 0 (--weight-reg)");
  number("--init-std", learn.deviation, factor, "deviation of the initial logits");
  number("--logits-lr-factor", learn.logits_factor, above(0),
         "learning rate of the logits relative to --lr (--lr-mult)");
  command
      .add_flag("--hard", learn.is_hard,
                "one mask in forward, gradients of the soft one (straight through)")
      ->group("Masks");
  command
      .add_flag("--train-weights", learn.trains_weights,
                "learn the weights, too (without: --mask-only)")
      ->group("Masks");
  add_choice(command, "--logits", flags.logits, {"float32", "bfloat16"}, "dtype of the logits")
      ->group("Masks");
  add_choice(command, "--moments", flags.moments, {"float32", "bfloat16", "8bit"},
             "form of AdamW's two moments of each logit")
      ->group("Masks");
}

void add_learning_flags(CLI::App& command, LearnFlags& flags) {
  train::TrainOptions& options = flags.options;
  command.add_option("--model", flags.model, "folder of the dense model, whose weights stay")
      ->type_name("DIR");
  add_number(command, "--context", flags.context, between(1, kLargestSize),
             "tokens of a sequence (default: the model's context)");
  command
      .add_option("--distill", flags.teacher,
                  "a model folder whose distribution is learned too, or self: the dense model")
      ->type_name("DIR");
  add_number(command, "--distill-weight", options.model.distill_weight, between(0, 1),
             "A of the loss (1 - A) · next token + A · KL(teacher || model)");
  command
      .add_option(
          "--recipe", flags.recipe,
          "a published run (maskllm-llama2-7b, maskllm-llama2-13b, maskllm-llama3-8b): sets "
          "the options that are not given")
      ->configurable(false)
      ->type_name("NAME");
  add_budget_flag(command, flags);
  add_dtype(command, "--dtype", options.model.dtype,
            "dtype of the products; auto: the faster of float32 and bfloat16 on this machine",
            {"auto"});
  add_number(command, "--seed", options.run.seed, at_least(0),
             "seed of logits, noise, data order and calibration");
  command.add_flag("--recompute", options.model.recompute,
                   "recompute activations: less memory, slower");
}

int64_t context_of(const LearnFlags& flags) {
  if (flags.context) return *flags.context;
  if (flags.model.empty()) fail_usage("--model is missing: the folder of the dense model");
  return model::sizes_of(checkpoint::ModelFolder(flags.model).config().model).context;
}

void fill_in_learning(CLI::App& command, const LearnFlags& flags, const GivenOptions& given) {
  if (!flags.recipe.empty()) {
    for (const auto& [name, value] : learn::recipe_named(flags.recipe)) {
      set_option_if_unset(command, name, value);
    }
  }
  if (flags.budget.empty()) return;
  const auto warmup = static_cast<double>(flags.options.optimizer.warmup);
  const double share = scale_steps_to_budget(command, flags, context_of(flags), given);
  shrink_steps(command, "warmup", warmup, share, given);
}

// Masks of a file or folder. A resumed run has its logits already.
checkpoint::NamedTensors masks_of_prior(const LearnFlags& flags, const model::ModelConfig& config) {
  if (!fs::exists(flags.prior)) {
    fail_usage(
        "--prior \"{}\" is neither magnitude, wanda, sparsegpt, ria or none, nor a file of masks "
        "or a folder",
        printable(flags.prior));
  }
  const MaskSet set = open_masks(flags.prior, config);
  require_masks(set);
  return set.masks;
}

fs::path absolute_path(const std::string& path) {
  return path.empty() ? fs::path() : fs::absolute(path);
}

}  // namespace

LearnFlags::LearnFlags() { options = learn::default_train_options(); }

void add_learn_flags(CLI::App& command, LearnFlags& flags) {
  add_learning_flags(command, flags);
  add_run_folder_flags(command, flags);
  add_mask_flags(command, flags);
  add_optimizer_flags(command, flags);
  add_number(command, "--beta2", flags.options.model.method.beta2, proper_share(),
             "AdamW's second moment")
      ->group("Training");
  add_output_flags(command, flags);
  add_threads_option(command);
  add_run_config_options(command, flags, [&command, &flags](const GivenOptions& given) {
    fill_in_learning(command, flags, given);
  });
}

learn::LearnOptions complete_options(const LearnFlags& flags) {
  learn::LearnOptions options = flags.learn;
  options.train = flags.options;
  if (flags.model.empty()) fail_usage("--model is missing: the folder of the dense model");
  complete_run(flags, options.train);
  train::ModelOptions& model = options.train.model;
  if (options.train.run.resume && !fs::exists(flags.model)) {
    fail(
        "the run's dense model is no longer in \"{}\": give its new folder with --model "
        "(its content is compared)",
        flags.model);
  }
  const checkpoint::ModelFolder folder = open_model({flags.model, false});
  model.init = fs::absolute(flags.model);
  model.config = folder.config().model;
  model.special = folder.config().special;
  options.train.data.context = flags.context.value_or(0);
  if (!options.train.run.resume) {
    for (const fs::path& folder_read : {model.init, absolute_path(flags.teacher)}) {
      check_run_folder(options.train.run.out, folder_read);
    }
  }
  options.distills_itself = flags.teacher == "self";
  if (!options.distills_itself) model.teacher = absolute_path(flags.teacher);
  options.pattern = learn::pattern_named(flags.pattern);
  options.train.optimizer.moments = learn::moments_named(flags.moments);
  options.logits = tensor::dtype_named(flags.logits);
  options.prior.name = flags.prior;
  if (is_prior_method(flags.prior)) {
    options.prior.method = prune::method_named(flags.prior);
  } else if (flags.prior != "none") {
    options.prior.name = fs::absolute(flags.prior).string();
    if (!options.train.run.resume) options.prior.masks = masks_of_prior(flags, model.config);
  }
  return options;
}

std::string kept_config(CLI::App& command, const learn::LearnOptions& options) {
  set_option(command, "data", options.train.data.folder.string());
  set_option(command, "model", options.train.model.init.string());
  set_option(command, "prior", options.prior.name);
  if (!options.train.model.teacher.empty()) {
    set_option(command, "distill", options.train.model.teacher.string());
  }
  return effective_config(command, {"out", "threads"});
}

}  // namespace twofour::cli
