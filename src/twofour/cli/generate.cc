#include "twofour/model/generate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"
#include "twofour/cli/command.h"
#include "twofour/cli/model_option.h"
#include "twofour/cli/text_stream.h"
#include "twofour/sparse/dtype.h"
#include "twofour/text/decoder.h"
#include "twofour/text/token_file.h"
#include "twofour/text/tokenizer.h"

namespace twofour::cli {
namespace {

using Json = nlohmann::ordered_json;

struct GenerateFlags {
  ModelOption model;
  std::string prompt, prompt_file, prompt_ids, dtype = "float32", weights = "auto";
  std::vector<std::string> stops;
  model::GenerateOptions options;
  bool json = false, stats = false;
};

const char* name_of(model::StopReason reason) {
  switch (reason) {
    case model::StopReason::kEndToken:
      return "end of text";
    case model::StopReason::kContextFull:
      return "context full";
    case model::StopReason::kCaller:
      return "stop string";
    default:
      return "max tokens";
  }
}

struct Weights {
  int64_t bytes = 0;          ///< of all parameters
  int64_t packed_layers = 0;  ///< linear layers kept as Packed24
};

Weights weights_of(model::Model& model) {
  Weights weights;
  const auto add = [&](const at::Tensor& tensor) {
    if (tensor.defined())
      weights.bytes += tensor.numel() * static_cast<int64_t>(tensor.element_size());
  };
  model.visit([&](const std::string&, at::Tensor& tensor) { add(tensor); });
  model.visit_linears([&](const std::string&, model::Linear& linear) {
    add(linear.packed.values);
    add(linear.packed.positions);
    weights.packed_layers += linear.packed.values.defined();
  });
  return weights;
}

model::Model load(const GenerateFlags& flags, const checkpoint::ModelFolder& folder) {
  model::Model model = folder.load(sparse::dtype_named(flags.dtype));
  if (flags.weights == "packed" && model::keep_packed(model, model::Pack::kAlways) == 0) {
    fail("\"{}\" has no 2:4 sparse layer to pack: use --weights auto or dense", flags.model.path);
  }
  if (flags.weights == "auto") model::keep_packed(model, model::Pack::kWhereItPays);
  return model;
}

double per_second(int64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0.0;
}

Json stats_of(const model::GenerateResult& result, const Weights& weights, size_t prompt_tokens) {
  // The first new token comes with the prompt.
  const int64_t later = std::max<int64_t>(result.tokens - 1, 0);
  return {{"prompt_tokens", prompt_tokens},
          {"prompt_tokens_per_second",
           per_second(static_cast<int64_t>(prompt_tokens), result.prompt_seconds)},
          {"tokens_per_second", per_second(later, result.seconds)},
          {"weight_bytes", weights.bytes},
          {"packed_layers", weights.packed_layers}};
}

// The same tokens with dense weights, for comparison.
double dense_tokens_per_second(const GenerateFlags& flags, const checkpoint::ModelFolder& folder,
                               std::span<const int64_t> prompt, int64_t tokens) {
  const model::Model dense = folder.load(sparse::dtype_named(flags.dtype));
  model::GenerateOptions options = flags.options;
  options.max_tokens = tokens;
  const auto result = model::generate(dense, prompt, options, [](int64_t) { return true; });
  return per_second(std::max<int64_t>(result.tokens - 1, 0), result.seconds);
}

void log_stats(const Json& stats, int64_t tokens) {
  const auto number = [&](const char* name) { return stats[name].get<double>(); };
  spdlog::info("prompt: {} tokens, {:.1f} tokens/s; generated: {} tokens, {:.1f} tokens/s",
               stats["prompt_tokens"].get<int64_t>(), number("prompt_tokens_per_second"), tokens,
               number("tokens_per_second"));
  spdlog::info("weights: {:.1f} MB, {} layers packed", number("weight_bytes") / 1e6,
               stats["packed_layers"].get<int64_t>());
  if (stats.contains("dense_tokens_per_second")) {
    const double dense = number("dense_tokens_per_second");
    spdlog::info("with dense weights: {:.1f} tokens/s, so packed ones are {:.2f}x", dense,
                 number("tokens_per_second") / dense);
  }
}

/// What is continued. Without a tokenizer (--prompt-ids) there are only ids.
struct Prompt {
  std::string text;
  std::vector<int64_t> ids;
  std::optional<text::Tokenizer> tokenizer;
};

Prompt read_prompt(const GenerateFlags& flags, const checkpoint::ModelFolder& folder) {
  const checkpoint::SpecialIds& special = folder.config().special;
  Prompt prompt;
  if (!flags.prompt_ids.empty()) {
    const text::TokenFile file = text::TokenFile::open(flags.prompt_ids);
    prompt.ids.resize(static_cast<size_t>(file.size()));
    file.read(0, prompt.ids);
    return prompt;
  }
  prompt.tokenizer = text::Tokenizer::load(folder.place().tokenizer);
  prompt.text =
      flags.prompt_file.empty() ? flags.prompt : read_file_or_pipe(flags.prompt_file, kLargestText);
  // As the model was trained: behind what its tokenizer puts before a text.
  const std::vector<int32_t>& before = prompt.tokenizer->prefix_ids();
  const std::vector<int32_t> ids = prompt.tokenizer->encode(prompt.text);
  prompt.ids.assign(before.begin(), before.end());
  prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
  const auto begin = prompt.tokenizer->begin_of_text();
  if (prompt.ids.empty() && begin) prompt.ids.push_back(*begin);
  if (prompt.ids.empty() && special.begin) prompt.ids.push_back(*special.begin);
  return prompt;
}

model::GenerateOptions options_of(const GenerateFlags& flags, const Prompt& prompt,
                                  const checkpoint::SpecialIds& special) {
  model::GenerateOptions options = flags.options;
  options.end_tokens = special.end;
  if (options.end_tokens.empty() && prompt.tokenizer && prompt.tokenizer->end_of_text()) {
    options.end_tokens.push_back(*prompt.tokenizer->end_of_text());
  }
  return options;
}

// A first word keeps the space that parts it from the prompt.
std::optional<text::Decoder> decoder_after(const Prompt& prompt) {
  if (!prompt.tokenizer) return std::nullopt;
  text::Decoder decoder(*prompt.tokenizer, /*skip_special=*/true);
  for (const int64_t id : prompt.ids) decoder.add(static_cast<int32_t>(id));
  return decoder;
}

void print_json(const Prompt& prompt, const std::vector<int64_t>& ids, const std::string& text,
                const model::GenerateResult& result, const Json& stats) {
  Json json = {{"prompt", prompt.text},
               {"text", text},
               {"ids", ids},
               {"tokens", result.tokens},
               {"stop", name_of(result.reason)}};
  json.update(stats);
  fmt::print("{}\n", json.dump());
}

void check_sampling(const model::GenerateOptions& options) {
  if (!std::isfinite(options.temperature)) fail_usage("--temperature must be a finite number");
  if (std::isnan(options.top_p)) fail_usage("--top-p must be a number from 0 to 1");
}

void run_generate(const GenerateFlags& flags) {
  check_sampling(flags.options);
  const checkpoint::ModelFolder folder = open_model(flags.model);
  for (const std::string& name : folder.config().not_applied) {
    spdlog::warn("generation_config.json sets {}, which is not applied here", name);
  }
  const checkpoint::SpecialIds& special = folder.config().special;
  const Prompt prompt = read_prompt(flags, folder);
  model::Model model = load(flags, folder);
  const Weights weights = weights_of(model);
  const bool prints = !flags.json && prompt.tokenizer;
  TextStream stream(flags.stops, [&](std::string_view text) {
    if (!prints) return;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  });
  if (prints) fmt::print("{}", prompt.text);
  std::optional<text::Decoder> decoder = decoder_after(prompt);
  std::vector<int64_t> ids;
  const auto on_token = [&](int64_t id) {
    ids.push_back(id);
    return !decoder || stream.add(decoder->add(static_cast<int32_t>(id)));
  };
  const model::GenerateResult result =
      model::generate(model, prompt.ids, options_of(flags, prompt, special), on_token);
  if (decoder) stream.add(decoder->finish());
  stream.finish();
  Json stats = stats_of(result, weights, prompt.ids.size());
  if (flags.stats && weights.packed_layers > 0) {
    model = {};
    stats["dense_tokens_per_second"] =
        dense_tokens_per_second(flags, folder, prompt.ids, result.tokens);
  }
  if (flags.json) {
    print_json(prompt, ids, stream.text(), result, stats);
    return;
  }
  fmt::print("{}\n", prompt.tokenizer ? "" : Json(ids).dump());
  if (result.reason == model::StopReason::kContextFull) {
    spdlog::info("stopped: the model's context is full");
  }
  if (flags.stats) log_stats(stats, result.tokens);
}

void add_sampling_options(CLI::App& command, model::GenerateOptions& options) {
  command.add_option("--max-tokens", options.max_tokens, "at most this many new tokens")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command.add_option("--temperature", options.temperature, "0 = always the likeliest token")
      ->check(CLI::NonNegativeNumber)
      ->type_name("T");
  command.add_option("--top-k", options.top_k, "choose among the K likeliest; 0 = all")
      ->check(CLI::NonNegativeNumber)
      ->type_name("K");
  command.add_option("--top-p", options.top_p, "choose among the likeliest that sum to P")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("P");
  command.add_option("--seed", options.seed, "of the random choices")->type_name("N");
}

}  // namespace

void add_generate(CLI::App& program) {
  CLI::App& command = *program.add_subcommand("generate", "continue a text");
  auto flags = std::make_shared<GenerateFlags>();
  add_model_options(command, flags->model)->required();
  command.add_option("--prompt", flags->prompt, "text to continue")->type_name("TEXT");
  command.add_option("--prompt-file", flags->prompt_file, "file with the text to continue")
      ->excludes("--prompt")
      ->type_name("FILE");
  command
      .add_option("--prompt-ids", flags->prompt_ids,
                  "token file to continue; ids are printed, no tokenizer is needed")
      ->excludes("--prompt")
      ->excludes("--prompt-file")
      ->type_name("FILE.bin");
  add_sampling_options(command, flags->options);
  command.add_option("--stop", flags->stops, "end before this text; may be given several times")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->excludes("--prompt-ids")
      ->type_name("TEXT");
  add_dtype_option(command, flags->dtype);
  command
      .add_option("--weights", flags->weights,
                  "packed: 2:4 layers as values and positions, in half of the memory; dense: as "
                  "they are; auto: packed where that is faster")
      ->check(CLI::IsMember({"auto", "packed", "dense"}))
      ->type_name("W");
  add_threads_option(command);
  command.add_flag("--stats", flags->stats,
                   "log tokens a second and the weights' memory, against dense weights too");
  command.add_flag("--json", flags->json, "print one JSON object instead of the text");
  on_run(command, [flags] { run_generate(*flags); });
}

}  // namespace twofour::cli
