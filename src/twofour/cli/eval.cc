#include <cmath>
#include <memory>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/progress.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/input_options.h"
#include "twofour/cli/model_option.h"
#include "twofour/cli/values.h"
#include "twofour/eval/perplexity.h"
#include "twofour/tensor/dtype.h"
#include "twofour/text/document_encoder.h"
#include "twofour/text/token_file.h"
#include "twofour/text/tokenizer.h"

namespace twofour::cli {
namespace {

struct EvalFlags {
  ModelOption model;
  std::string data, dtype = "float32", weights = "packed";
  int64_t context = 0, stride = 0, batch = 4;
  bool bare = false, json = false, streams = false;
  text::DocumentOptions documents;
};

struct EvalText {
  std::vector<int64_t> ids;
  std::optional<int64_t> words;  ///< known for text, not for a token file
};

int64_t count_words(const std::string& text) {
  std::istringstream stream(text);
  int64_t words = 0;
  for (std::string word; stream >> word;) ++words;
  return words;
}

// A text is one document. Documents in JSON follow each other as in a token file.
EvalText read_text(const EvalFlags& flags, const fs::path& tokenizer_folder) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(tokenizer_folder);
  text::DocumentOptions options = flags.documents;
  options.whole_texts = true;
  text::DocumentFiles files({flags.data}, options);
  EvalText data;
  data.words = 0;
  const auto append = [&](std::span<const int32_t> ids) {
    data.ids.insert(data.ids.end(), ids.begin(), ids.end());
  };
  std::optional<text::DocumentEncoder> documents;
  for (text::Part part; files.next(part);) {
    if (std::string_view(part.text).substr(0, 4096).find('\0') != std::string_view::npos) {
      fail("cannot read \"{}\": it holds NUL bytes, so it is not text; token files are named .bin",
           flags.data);
    }
    *data.words += count_words(part.text);
    if (files.kind() == text::ContentKind::kText) {
      append(flags.bare ? tokenizer.encode(part.text) : tokenizer.encode_with_special(part.text));
      continue;
    }
    if (!documents) documents.emplace(tokenizer, [&](auto ids, bool) { append(ids); });
    documents->add(std::move(part));
  }
  if (documents) documents->finish();
  if (data.ids.empty()) fail("cannot read \"{}\": it holds no text", flags.data);
  return data;
}

EvalText read_data(const EvalFlags& flags, const checkpoint::ModelFolder& folder) {
  if (fs::path(flags.data).extension() == ".bin") {
    const int64_t vocabulary = model::sizes_of(folder.config().model).vocabulary;
    return {text::read_token_ids(flags.data, vocabulary), std::nullopt};
  }
  return read_text(flags, folder.place().tokenizer);
}

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
  const EvalText data = read_data(flags, folder);
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
    print_output("{}\n", json.dump());
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
