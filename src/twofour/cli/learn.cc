#include "twofour/learn/learn.h"

#include <memory>

#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/fastest_dtype.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/learn_flags.h"
#include "twofour/cli/run_summary.h"

namespace twofour::cli {
namespace {

void run_learn(const LearnFlags& flags, CLI::App& command, bool json) {
  learn::LearnOptions options = complete_options(flags);
  settle_dtype(command, options.train);
  options.train.run.quiet = json;
  // Lives until the process ends, because after the last step a stop could save nothing.
  static const StopSignal stop_signal(learn::kStopMessages);
  const train::TrainSummary summary = learn::learn(options, kept_config(command, options));
  if (json) {
    print_json_line(summary_json(summary, options.train));
  } else if (summary.steps < options.train.optimizer.steps) {
    print_line("stopped after step {} of {}: continue with --resume", summary.steps,
               options.train.optimizer.steps);
  } else {
    print_line("the sparse model is in {}; \"twofour trim {} --out FILE.t24\" writes its masks",
               (options.train.run.out / "model").string(), options.train.run.out.string());
  }
}

}  // namespace

void add_learn(CLI::App& program) {
  CLI::App& command =
      *program.add_subcommand("learn", "learn 2:4 masks of a trained model (MaskLLM)");
  auto flags = std::make_shared<LearnFlags>();
  auto json = std::make_shared<bool>(false);
  command.add_flag("--json", *json, "print one JSON object at the end and no metrics")
      ->configurable(false);
  add_learn_flags(command, *flags);
  set_example(command, "twofour learn --model llama --data data --out run --prior wanda");
  on_run(command, [flags, json, &command] { run_learn(*flags, command, *json); });
}

}  // namespace twofour::cli
