#include <csignal>
#include <iostream>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"
#include "twofour/base/progress.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/generate_session.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/values.h"

namespace twofour::cli {
namespace {

using Json = nlohmann::ordered_json;
using model::StopReason;

const char* name_of(StopReason reason) {
  switch (reason) {
    case StopReason::kEndToken:
      return "end of text";
    case StopReason::kContextFull:
      return "context full";
    case StopReason::kCaller:
      return "stop string";
    default:
      return "max tokens";
  }
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

// While a text is generated, Ctrl-C ends the text, not the program.
volatile std::sig_atomic_t text_is_interrupted = 0;

class InterruptedText {
 public:
  InterruptedText() {
    text_is_interrupted = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { text_is_interrupted = 1; };
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptedText() { sigaction(SIGINT, &before_, nullptr); }
  InterruptedText(const InterruptedText&) = delete;
  InterruptedText& operator=(const InterruptedText&) = delete;

  static bool goes_on() { return text_is_interrupted == 0; }

 private:
  struct sigaction before_ {};
};

Json json_of(const Continuation& made) {
  const bool is_interrupted = !InterruptedText::goes_on();
  return {{"text", made.text},
          {"ids", made.ids},
          {"tokens", made.result.tokens},
          {"stop", is_interrupted ? "interrupted" : name_of(made.result.reason)}};
}

void print_json(const Prompt& prompt, const std::vector<Continuation>& samples, const Json& stats) {
  Json json = {{"prompt", prompt.text}};
  json.update(json_of(samples.front()));
  json.update(stats);
  if (samples.size() > 1) {
    for (const Continuation& sample : samples) json["samples"].push_back(json_of(sample));
  }
  print_json_line(json);
}

// Prints text as it is generated, or JSON at the end; a line separates samples.
std::vector<Continuation> print_samples(const GenerateSession& session, const GenerateFlags& flags,
                                        const Prompt& prompt,
                                        const std::function<bool()>& goes_on) {
  std::vector<Continuation> samples;
  const bool prints = !flags.json, is_text = flags.prompt_ids.empty();
  for (uint32_t i = 0; i < static_cast<uint32_t>(flags.samples) && goes_on(); ++i) {
    if (prints && i > 0) write_output("---\n");
    if (prints) write_output(prompt.text);
    const auto print = [&](std::string_view text) {
      if (!prints || !is_text) return;
      write_output(text);
      flush_output();
    };
    samples.push_back(session.continue_prompt(prompt, i, print, goes_on));
    if (prints) print_output("{}\n", is_text ? "" : Json(samples.back().ids).dump());
  }
  flush_output();
  return samples;
}

int64_t tokens_of(const std::vector<Continuation>& samples) {
  int64_t tokens = 0;
  for (const Continuation& sample : samples) tokens += sample.result.tokens;
  return tokens;
}

void continue_and_report(GenerateSession& session, const GenerateFlags& flags,
                         const Prompt& prompt) {
  const auto goes_on = [&] { return !flags.interactive || InterruptedText::goes_on(); };
  const std::vector<Continuation> samples = print_samples(session, flags, prompt, goes_on);
  if (samples.empty()) return;
  Json stats = session.stats_of(prompt, samples);
  if (flags.stats && session.packed_layers() > 0 && !flags.interactive) {
    stats["dense_tokens_per_second"] =
        session.dense_tokens_per_second(prompt, samples.front().result.tokens);
  }
  if (flags.json) {
    print_json(prompt, samples, stats);
    flush_output();
    return;
  }
  if (samples.back().result.reason == StopReason::kContextFull) {
    spdlog::info("stopped: the model's context is full (--context-overflow shift continues)");
  }
  if (flags.stats) log_stats(stats, tokens_of(samples));
}

// Every line of the standard input is a prompt.
void run_interactively(GenerateSession& session, const GenerateFlags& flags) {
  const bool is_dialogue = is_terminal(STDIN_FILENO) && is_terminal(STDERR_FILENO);
  if (is_dialogue) {
    write_message("Each line is a prompt. Ctrl-C stops a text, Ctrl-D ends.\n");
  }
  for (std::string line;;) {
    if (is_dialogue) write_message("> ");
    if (!std::getline(std::cin, line)) break;
    if (line.empty()) continue;
    const InterruptedText interruptible;
    try {
      continue_and_report(session, flags, session.prompt_of(line));
    } catch (const Error& error) {
      if (!is_dialogue) throw;
      spdlog::error("{}", error.what());
    }
    if (!InterruptedText::goes_on() && !is_dialogue) break;
  }
  if (is_dialogue) write_message("\n");
}

void run_generate(const GenerateFlags& flags) {
  GenerateSession session(flags);
  if (flags.interactive) {
    run_interactively(session, flags);
  } else if (!flags.prompt_ids.empty()) {
    continue_and_report(session, flags, session.prompt_of_ids(flags.prompt_ids));
  } else {
    const std::string file = flags.prompt_file == "-" ? "/dev/stdin" : flags.prompt_file;
    continue_and_report(
        session, flags,
        session.prompt_of(file.empty() ? flags.prompt : read_file_or_pipe(file, kLargestText)));
  }
}

void add_prompt_options(CLI::App& command, GenerateFlags& flags) {
  CLI::Option* text =
      command.add_option("--prompt", flags.prompt, "text to continue")->type_name("TEXT");
  CLI::Option* file = command
                          .add_option("--prompt-file", flags.prompt_file,
                                      "file with the text to continue; - = the standard input")
                          ->excludes(text)
                          ->type_name("FILE");
  CLI::Option* ids =
      command
          .add_option("--prompt-ids", flags.prompt_ids,
                      "token file to continue; ids are printed, no tokenizer is needed")
          ->excludes(text)
          ->excludes(file)
          ->type_name("FILE.bin");
  command
      .add_flag("-i,--interactive", flags.interactive,
                "continue every line of the standard input, each separately; Ctrl-C stops a text, "
                "Ctrl-D ends")
      ->excludes(text)
      ->excludes(file)
      ->excludes(ids);
}

void add_sampling_options(CLI::App& command, GenerateFlags& flags) {
  model::GenerateOptions& options = flags.options;
  const auto add = [&](const char* name, auto& value, const Range& range, const char* help) {
    add_number(command, name, value, range, help)->group("Sampling");
  };
  add("--temperature", options.temperature, at_least(0),
      "divides the logits; 0 = always the likeliest token");
  add("--top-k", options.top_k, at_least(0), "choose among this many likeliest; 0 = all");
  add("--top-p", options.top_p, between(0, 1),
      "choose among the fewest likeliest whose probabilities sum to this");
  add("--min-p", options.min_p, between(0, 1),
      "choose among those at least this many times as likely as the likeliest");
  add("--repetition-penalty", flags.repetition_penalty, between(1e-3, 1e3),
      "above 1 makes tokens of the text so far less likely (default: generation_config.json's, "
      "else 1 = none)");
  add("--seed", options.seed, at_least(0), "seed of the random choices");
  add("--num-samples", flags.samples, between(1, 1e6), "number of continuations");
}

void add_length_options(CLI::App& command, GenerateFlags& flags) {
  const char* group = "Length";
  add_number(command, "--max-tokens", flags.options.max_tokens, at_least(0),
             "maximum number of new tokens")
      ->group(group);
  command.add_option("--stop", flags.stops, "end before this text; may be given several times")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->excludes("--prompt-ids")
      ->type_name("TEXT")
      ->group(group);
  add_choice(command, "--context-overflow", flags.overflow, {"stop", "shift"},
             "when the model's context is full: stop, or shift: forget the older half")
      ->group(group);
  add_number(command, "--keep", flags.options.kept, between(0, kLargestSize),
             "number of first prompt tokens that a shift keeps")
      ->group(group);
}

}  // namespace

void add_generate(CLI::App& program) {
  CLI::App& command = *program.add_subcommand("generate", "continue a text");
  auto flags = std::make_shared<GenerateFlags>();
  add_model_options(command, flags->model)->required();
  add_masks_option(command, flags->model);
  add_prompt_options(command, *flags);
  add_sampling_options(command, *flags);
  add_length_options(command, *flags);
  add_dtype_option(command, flags->dtype);
  add_choice(command, "--weights", flags->weights, {"auto", "packed", "dense"},
             "packed: 2:4 layers as values and positions, in half of the memory; dense: as they "
             "are; auto: packed where that is faster");
  add_threads_option(command);
  command.add_flag("--stats", flags->stats,
                   "log tokens/s and the weights' memory, also with dense weights");
  command.add_flag("--json", flags->json, "print one JSON object instead of the text");
  set_example(command, "twofour generate --model run/model --prompt \"Once upon a time\"");
  on_run(command, [flags] { run_generate(*flags); });
}

}  // namespace twofour::cli
