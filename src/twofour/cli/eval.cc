#include <cmath>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/progress.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/eval_text.h"
#include "twofour/cli/help.h"
#include "twofour/cli/input_options.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/model_option.h"
#include "twofour/cli/values.h"
#include "twofour/eval/perplexity.h"
#include "twofour/tensor/dtype.h"

namespace twofour::cli {
namespace {

struct EvalFlags {
  ModelOption model;
  std::string data, dtype = "float32", weights = "packed";
  int64_t context = 0, stride = 0, batch = 4;
  bool bare = false, json = false, streams = false;
  text::DocumentOptions documents;
};

eval::PerplexityResult measure(const EvalFlags& flags, const checkpoint::ModelFolder& folder,
                               const EvalText& data) {
  const at::ScalarType dtype = tensor::dtype_named(flags.dtype);
  const bool uses_24_kernels = flags.weights == "packed";
  std::optional<ProgressBar> bar;
  eval::PerplexityOptions options{flags.context, flags.stride, flags.batch, {}};
  options.progress = [&](int64_t done, int64_t all) {
    if (!bar) bar.emplace("evaluating", static_cast<uint64_t>(all));
    bar->update(static_cast<uint64_t>(done),
                fmt::format("{} {} of {}", flags.streams ? "block" : "window", done, all));
  };
  if (flags.streams) {
    return eval::streamed_perplexity(folder, {dtype, uses_24_kernels}, data.ids, options);
  }
  model::Model model = folder.load(dtype);
  if (uses_24_kernels) model::use_24_kernels(model);
  return eval::perplexity(model, data.ids, options);
}

void run_perplexity(const EvalFlags& flags) {
  const checkpoint::ModelFolder folder = open_model(flags.model);
  const EvalText data = read_eval_text(flags.data, folder, flags.bare, flags.documents);
  const eval::PerplexityResult result = measure(flags, folder, data);
  ProgressBar::clear_line();
  nlohmann::ordered_json json = {{"perplexity", result.perplexity},
                                 {"nll", result.nll},
                                 {"tokens", result.tokens},
                                 {"adjusted_perplexity", nullptr},
                                 {"seconds", result.seconds}};
  if (data.words && *data.words > 0) {
    json["adjusted_perplexity"] = std::exp(result.nll / static_cast<double>(*data.words));
  }
  if (flags.json) {
    print_json_line(json);
    return;
  }
  print_output("perplexity {:.4f} over {} tokens", result.perplexity, result.tokens);
  if (!json["adjusted_perplexity"].is_null()) {
    const double by_words = json["adjusted_perplexity"].get<double>();
    print_output(", by words {}", by_words < 1e6 ? fmt::format("{:.2f}", by_words)
                                                 : fmt::format("{:.3e}", by_words));
  }
  print_output("\n");
}

}  // namespace

void add_eval(CLI::App& program) {
  CLI::App& group = *program.add_subcommand("eval", "measure a model");
  group.require_subcommand(1);
  CLI::App& command =
      *group.add_subcommand("perplexity", "measure perplexity on a text or a token file");
  auto flags = std::make_shared<EvalFlags>();
  add_model_options(command, flags->model)->required();
  add_masks_option(command, flags->model);
  command
      .add_option(
          "--data", flags->data,
          "text or JSON lines, plain or compressed by gzip or zstd; - = the standard input; "
          "or a .bin of tokens")
      ->required()
      ->type_name("FILE");
  add_number(command, "--context", flags->context, between(0, kLargestSize),
             "tokens per window; 0 = the model's context");
  add_number(command, "--stride", flags->stride, between(0, kLargestSize),
             "tokens between the starts of windows; 0 = the context");
  add_number(command, "--batch", flags->batch, between(1, 65536), "windows at a time");
  add_input_options(command, flags->documents);
  add_dtype_option(command, flags->dtype);
  command.add_flag("--no-special-tokens", flags->bare,
                   "omit the tokens that the tokenizer adds around a text (LLaMA's <s>)");
  add_weights_option(command, flags->weights);
  command.add_flag("--stream", flags->streams,
                   "load one block at a time and run it over all windows: for models larger than "
                   "memory, with the same result");
  add_threads_option(command);
  command.add_flag("--json", flags->json, "print the result as one JSON object");
  set_example(command, "twofour eval perplexity --model run/model --data data/val.bin");
  on_run(command, [flags] { run_perplexity(*flags); });
}

}  // namespace twofour::cli
