#include <memory>

#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/fastest_dtype.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/run_summary.h"
#include "twofour/cli/train_flags.h"
#include "twofour/train/trainer.h"

namespace twofour::cli {

void add_train(CLI::App& program) {
  CLI::App& command = *program.add_subcommand("train", "pre-train a model, dense or 2:4 sparse");
  auto flags = std::make_shared<TrainFlags>();
  auto json = std::make_shared<bool>(false);
  command.add_flag("--json", *json, "print one JSON object at the end and no metrics")
      ->configurable(false);
  add_train_flags(command, *flags);
  set_example(command, "twofour train --data data --out run --method s-ste");
  on_run(command, [flags, json, &command] {
    train::TrainOptions options = complete_options(*flags);
    settle_dtype(command, options);
    options.run.quiet = *json;
    // Lives until the process ends, because after the last step a stop could save nothing.
    static const StopSignal stop_signal(train::kStopMessages);
    const train::TrainSummary summary = train::train(options, kept_config(command, options));
    if (*json) {
      print_json_line(summary_json(summary, options));
    } else if (summary.steps < options.optimizer.steps) {
      print_line("stopped after step {} of {}: continue with --resume", summary.steps,
                 options.optimizer.steps);
    } else {
      print_line("the model is in {}", (options.run.out / "model").string());
    }
  });
}

}  // namespace twofour::cli
