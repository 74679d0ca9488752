#include "twofour/learn/trim.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"
#include "twofour/base/progress.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/mask/masks.h"
#include "twofour/cli/output_folder.h"
#include "twofour/cli/toml.h"

namespace twofour::cli {
namespace {

struct TrimFlags {
  std::string run, out, model;
  bool force = false, json = false;
};

// The value of --model in a run's config.toml; empty if it has none.
std::string model_in_config(const fs::path& config) {
  try {
    for (const TomlEntry& entry : read_toml(read_file(config, kLargestSettings))) {
      if (entry.key == "model" && entry.values.size() == 1) return entry.values.front();
    }
  } catch (const Error& error) {
    fail("cannot read \"{}\": {}; give the dense model's folder with --model", config.string(),
         error.what());
  }
  return "";
}

// The dense model of a run, by the config.toml beside its checkpoints.
std::string dense_model_of(const learn::LearnedMasks& learned) {
  const fs::path config = learned.checkpoint.parent_path().parent_path() / "config.toml";
  const std::string model = fs::is_regular_file(config) ? model_in_config(config) : "";
  if (model.empty()) {
    fail_usage("\"{}\" does not say which model it is of: give its folder with --model",
               learned.checkpoint.string());
  }
  if (!fs::is_directory(model)) {
    fail_usage("the dense model is no longer in \"{}\": give its folder with --model",
               printable(model));
  }
  return model;
}

void run_trim(const TrimFlags& flags) {
  const bool is_file = checkpoint::mask_format_named(flags.out).has_value();
  if (is_file && !flags.model.empty()) {
    fail_usage("--model makes no sense for a file of masks: name a folder for a sparse model");
  }
  if (is_file) check_mask_file(flags.out, flags.force);
  const learn::LearnedMasks learned = learn::read_learned(flags.run);
  if (learned.step < learned.steps) {
    spdlog::info("the run is not finished: these are its masks after step {} of {}", learned.step,
                 learned.steps);
  }
  if (is_file) {
    checkpoint::write_masks(flags.out, learned.masks, learned.shapes);
  } else {
    const std::string dense = flags.model.empty() ? dense_model_of(learned) : flags.model;
    std::error_code error;
    if (fs::equivalent(flags.out, dense, error)) {
      fail_usage("--out \"{}\" is the dense model, which the run needs: choose another", flags.out);
    }
    check_output_folder(flags.out, dense, flags.force);
    AtomicFolder folder(flags.out);
    learn::write_trimmed(learned, dense, folder.path());
    folder.commit();
  }
  ProgressBar::clear_line();
  if (flags.json) {
    print_json_line({{"out", flags.out},
                     {"step", learned.step},
                     {"steps", learned.steps},
                     {"masked_layers", learned.masks.size()}});
  } else {
    print_line("{}: {} of {}, after step {}", flags.out, is_file ? "masks" : "a sparse model",
               count_of_layers(learned.masks.size()), learned.step);
  }
}

}  // namespace

void add_trim(CLI::App& program) {
  CLI::App& command = *program.add_subcommand(
      "trim", "write the masks that a run has learned: a sparse model, or a file of masks");
  auto flags = std::make_shared<TrimFlags>();
  command.add_option("run", flags->run, "the run of \"learn\", or one of its checkpoints")
      ->required()
      ->type_name("RUN");
  command
      .add_option(
          "--out", flags->out,
          "a new folder for the sparse model, or FILE.t24, FILE.npz or FILE.safetensors for "
          "masks")
      ->required()
      ->type_name("PATH");
  command.add_option("--model", flags->model, "folder of the dense model (default: the run's)")
      ->type_name("DIR");
  command.add_flag("--force", flags->force, "replace --out");
  add_threads_option(command);
  command.add_flag("--json", flags->json, "print the summary as one JSON object");
  set_example(command, "twofour trim run --out sparse");
  on_run(command, [flags] { run_trim(*flags); });
}

}  // namespace twofour::cli
