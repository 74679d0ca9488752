#include "twofour/cli/model_flags.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <fmt/ranges.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/checkpoint/run_weights.h"
#include "twofour/cli/values.h"
#include "twofour/model/presets.h"
#include "twofour/text/token_file.h"

namespace twofour::cli {
namespace {

bool is_preset(const std::string& model) {
  const std::vector<std::string> names = model::preset_names();
  return std::find(names.begin(), names.end(), model) != names.end();
}

model::ModelConfig config_in_file(const fs::path& path) {
  const fs::path file = fs::is_directory(path) ? path / "config.json" : path;
  return checkpoint::parse_config(read_file(file, kLargestSettings), file.string()).model;
}

// The model of the run that is resumed, which no longer needs what it began from; none where there
// is no checkpoint.
std::optional<checkpoint::FolderConfig> model_of_run(const train::RunOptions& run) {
  const auto step = run.resume ? checkpoint::latest_checkpoint(run.out) : std::nullopt;
  if (!step) return {};
  return checkpoint::checkpoint_config(checkpoint::checkpoint_path(run.out, *step));
}

// The file's model, with the given layers and context and the vocabulary of the data.
model::ModelConfig config_from_file(const TrainFlags& flags, const train::TrainOptions& options,
                                    int64_t vocabulary) {
  if (flags.heads || flags.key_value_heads || flags.width || flags.feed_forward) {
    fail_usage(
        "--heads, --key-value-heads, --width or --feed-forward and \"{}\" both define the model: "
        "change the file",
        flags.model);
  }
  if (const auto config = model_of_run(options.run)) return config->model;
  const model::ModelConfig config = config_in_file(flags.model);
  model::Sizes sizes = model::sizes_of(config);
  sizes.vocabulary = vocabulary;
  sizes.layers = flags.layers.value_or(sizes.layers);
  sizes.context = flags.context.value_or(sizes.context);
  sizes.feed_forward = static_cast<int64_t>(static_cast<double>(sizes.feed_forward) *
                                            options.model.method.feed_forward_share);
  return model::with_sizes(config, sizes);
}

// The preset's sizes, with the given ones and those that follow from them.
model::ModelConfig config_from_sizes(const TrainFlags& flags, const train::Method& method,
                                     int64_t vocabulary) {
  const model::ModelConfig preset = model::preset(flags.model);
  model::Sizes sizes = model::sizes_of(preset);
  sizes.vocabulary = vocabulary;
  sizes.layers = flags.layers.value_or(sizes.layers);
  sizes.heads = flags.heads.value_or(sizes.heads);
  sizes.key_value_heads = flags.key_value_heads.value_or(sizes.heads);
  sizes.width = flags.width.value_or(sizes.width);
  sizes.context = flags.context.value_or(sizes.context);
  model::check_sizes_of_whole_heads(sizes);
  sizes.head_width = sizes.width / sizes.heads;
  const double share = method.feed_forward_share;
  const auto usual = static_cast<double>(model::usual_feed_forward(preset, sizes.width));
  sizes.feed_forward = static_cast<int64_t>(usual * share);
  if (flags.feed_forward.value_or(sizes.feed_forward) != sizes.feed_forward && share != 1.0) {
    fail_usage(
        "--feed-forward {} contradicts --method {}, whose feed-forward width is {}: --method dense "
        "takes any",
        *flags.feed_forward, method.name, sizes.feed_forward);
  }
  sizes.feed_forward = flags.feed_forward.value_or(sizes.feed_forward);
  const model::ModelConfig config = model::with_sizes(preset, sizes);
  if (model::sizes_of(config).key_value_heads != sizes.key_value_heads) {
    fail_usage("--key-value-heads {} makes no sense for {}, whose heads have their own",
               sizes.key_value_heads, model::architecture_of(config).class_prefix);
  }
  return config;
}

checkpoint::FolderConfig config_of_init(const TrainFlags& flags,
                                        const train::TrainOptions& options) {
  const auto refuse = [&](const char* flag) {
    fail_usage("{} and --init both define the model: give one of them", flag);
  };
  if (flags.layers || flags.heads || flags.key_value_heads || flags.width || flags.feed_forward) {
    refuse("--layers, --heads, --key-value-heads, --width or --feed-forward");
  }
  if (flags.vocabulary > 0) refuse("--vocabulary");
  if (options.model.method.feed_forward_share != 1.0) refuse("--method half");
  if (const auto config = model_of_run(options.run)) return *config;
  return checkpoint::ModelFolder(options.model.init).config();
}

int64_t vocabulary_of_data(const TrainFlags& flags, const std::filesystem::path& folder) {
  if (flags.vocabulary > 0) return flags.vocabulary;
  const auto data = text::TokenFile::open(folder / "train.bin");
  const int64_t vocabulary = data.info().vocabulary_size;
  if (vocabulary == 0) {
    fail_usage("\"{}\" does not state its vocabulary: give --vocabulary", data.path().string());
  }
  return vocabulary;
}

std::filesystem::path absolute(const std::string& path) {
  return path.empty() ? std::filesystem::path() : std::filesystem::absolute(path);
}

}  // namespace

void add_model_flags(CLI::App& command, TrainFlags& flags) {
  const auto check_model = [](std::string& model) -> std::string {
    if (is_preset(model) || model.ends_with(".json") || fs::exists(model)) return "";
    return fmt::format("must be {} or a config.json, but is \"{}\"",
                       fmt::join(model::preset_names(), ", "), printable(model));
  };
  command
      .add_option("--model", flags.model,
                  fmt::format("sizes of the model ({}), or a config.json of any architecture",
                              fmt::join(model::preset_names(), ", ")))
      ->transform(CLI::Validator(check_model, "", "MODEL"))
      ->type_name("NAME");
  const auto size = [&](const char* name, auto& value, const Range& range, const char* help) {
    add_number(command, name, value, range, help)->group("Sizes (override --model)");
  };
  size("--layers", flags.layers, between(1, 10000), "transformer blocks");
  size("--heads", flags.heads, between(1, 10000), "attention heads; must divide the width");
  size("--key-value-heads", flags.key_value_heads, between(1, 10000),
       "heads of keys and values (LLaMA); must divide the heads, default as many");
  size("--width", flags.width, between(1, kLargestSize), "width of the residual stream");
  size("--context", flags.context, between(1, kLargestSize), "tokens of a sequence");
  size("--feed-forward", flags.feed_forward, between(1, kLargestSize),
       "feed-forward width (GPT-2: 4 x width, LLaMA: 8/3 x width; half of it for half)");
  size("--vocabulary", flags.vocabulary, between(0, kLargestSize),
       "token ids; 0 = those of the data");
  const auto folder = [&](const char* name, std::string& value, const char* help) {
    command.add_option(name, value, help)->type_name("DIR")->group("Start");
  };
  folder("--init", flags.init, "a model folder to begin with, in place of --model's drawn weights");
  folder("--distill", flags.teacher, "a model folder whose distribution is learned too");
  add_number(command, "--distill-weight", flags.options.model.distill_weight, between(0, 1),
             "A of the loss (1 - A) · next token + A · KL(teacher || model)")
      ->group("Start");
  command
      .add_option("--masks", flags.masks,
                  "masks of --forward-weight fixed: a file, or a folder with masks or zeros "
                  "(default: --init's)")
      ->type_name("PATH")
      ->group("Start");
}

int64_t context_of(const TrainFlags& flags) {
  if (flags.context) return *flags.context;
  if (!flags.init.empty()) {
    return model::sizes_of(checkpoint::ModelFolder(flags.init).config().model).context;
  }
  return model::sizes_of(is_preset(flags.model) ? model::preset(flags.model)
                                                : config_in_file(flags.model))
      .context;
}

void complete_model(const TrainFlags& flags, train::TrainOptions& options) {
  options.model.init = absolute(flags.init);
  options.model.masks = absolute(flags.masks);
  options.model.teacher = absolute(flags.teacher);
  if (!flags.masks.empty() && !options.model.method.has_given_masks()) {
    fail_usage("--masks makes no sense without --forward-weight fixed");
  }
  if (flags.init.empty()) {
    const int64_t vocabulary = vocabulary_of_data(flags, options.data.folder);
    options.model.config = is_preset(flags.model)
                               ? config_from_sizes(flags, options.model.method, vocabulary)
                               : config_from_file(flags, options, vocabulary);
  } else {
    const checkpoint::FolderConfig config = config_of_init(flags, options);
    options.model.config = config.model;
    options.model.special = config.special;
    options.data.context = flags.context.value_or(0);
  }
}

}  // namespace twofour::cli
