#include "twofour/model/generate.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"
#include "twofour/base/utf8.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/cli/command.h"
#include "twofour/sparse/dtype.h"
#include "twofour/text/tokenizer.h"

namespace twofour::cli {
namespace {

struct GenerateFlags {
  std::string model, prompt, prompt_file, dtype = "float32", weights = "packed";
  model::GenerateOptions options;
  bool json = false, stats = false;
};

// Prints text as it comes, but a character only once it is complete. Bytes that belong to no
// character, which a model may well make, show as U+FFFD.
class Stream {
 public:
  explicit Stream(bool quiet) : quiet_(quiet) {}

  void add(const std::string& bytes) {
    waiting_ += bytes;
    print(/*all=*/false);
  }
  void finish() { print(/*all=*/true); }
  const std::string& text() const { return text_; }

 private:
  static bool may_continue(std::string_view rest) {
    const auto lead = static_cast<unsigned char>(rest[0]);
    const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return rest.size() < length;
  }

  void print(bool all) {
    std::string out;
    std::string_view rest = waiting_;
    while (!rest.empty() && (all || utf8_sequence_length(rest) > 0 || !may_continue(rest))) {
      const size_t length = utf8_sequence_length(rest);
      out += length > 0 ? rest.substr(0, length) : "\xef\xbf\xbd";
      rest.remove_prefix(std::max<size_t>(length, 1));
    }
    waiting_ = rest;
    text_ += out;
    if (quiet_) return;
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
  }

  bool quiet_;
  std::string text_, waiting_;
};

const char* name_of(model::StopReason reason) {
  switch (reason) {
    case model::StopReason::kEndToken:
      return "end of text";
    case model::StopReason::kContextFull:
      return "context full";
    default:
      return "max tokens";
  }
}

void run_generate(const GenerateFlags& flags) {
  model::Gpt2 model = checkpoint::load_gpt2(flags.model, sparse::dtype_named(flags.dtype));
  if (flags.weights == "packed") model::use_24_kernels(model);
  const text::Tokenizer tokenizer = text::Tokenizer::load(flags.model);
  const std::string prompt =
      flags.prompt_file.empty() ? flags.prompt : read_file(flags.prompt_file);
  std::vector<int64_t> ids;
  for (const int32_t id : tokenizer.encode(prompt)) ids.push_back(id);
  if (ids.empty() && tokenizer.end_of_text()) ids.push_back(*tokenizer.end_of_text());
  model::GenerateOptions options = flags.options;
  options.end_token = tokenizer.end_of_text();
  Stream stream(flags.json);
  if (!flags.json) fmt::print("{}", prompt);
  int64_t tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  const model::StopReason reason = model::generate(model, ids, options, [&](int64_t id) {
    const int32_t token[] = {static_cast<int32_t>(id)};
    stream.add(tokenizer.decode(token));
    ++tokens;
    return true;
  });
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double rate = static_cast<double>(tokens) / seconds;
  stream.finish();
  if (flags.json) {
    const nlohmann::ordered_json json = {{"prompt", prompt},
                                         {"text", stream.text()},
                                         {"tokens", tokens},
                                         {"stop", name_of(reason)},
                                         {"tokens_per_second", rate}};
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("\n");
  if (reason == model::StopReason::kContextFull)
    spdlog::info("stopped: the model's context is full");
  if (flags.stats) spdlog::info("{} tokens, {:.1f} tokens/s", tokens, rate);
}

}  // namespace

void add_generate(CLI::App& program) {
  CLI::App& command = *program.add_subcommand("generate", "continue a text");
  auto flags = std::make_shared<GenerateFlags>();
  model::GenerateOptions& options = flags->options;
  command.add_option("--model", flags->model, "Hugging Face folder")->required()->type_name("DIR");
  command.add_option("--prompt", flags->prompt, "text to continue")->type_name("TEXT");
  command.add_option("--prompt-file", flags->prompt_file, "file with the text to continue")
      ->type_name("FILE");
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
  command.add_option("--dtype", flags->dtype, "float32 or bfloat16")->type_name("T");
  add_weights_option(command, flags->weights);
  add_threads_option(command);
  command.add_flag("--stats", flags->stats, "log tokens a second");
  command.add_flag("--json", flags->json, "print one JSON object instead of the text");
  on_run(command, [flags] { run_generate(*flags); });
}

}  // namespace twofour::cli
