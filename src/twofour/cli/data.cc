#include <chrono>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/progress.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/input_options.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/values.h"
#include "twofour/text/prepare.h"

namespace twofour::cli {
namespace {

struct DataFlags {
  std::vector<std::string> inputs;
  std::string tokenizer, out, format = "twofour";
  text::DocumentOptions documents;
  double val_fraction = 0.05;
  uint64_t seed = 1;
  bool json = false;
};

// "\n" and "\t", which a shell passes unchanged.
std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (text[i] == '\\' && (next == 'n' || next == 't' || next == '\\')) {
      out += next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

void run_data(const DataFlags& flags) {
  if (flags.out.empty()) fail_usage("--out names no folder");
  const text::Tokenizer tokenizer = text::Tokenizer::load(flags.tokenizer);
  if (fs::is_directory(flags.out)) remove_abandoned(flags.out);
  text::PrepareOptions options;
  options.inputs.assign(flags.inputs.begin(), flags.inputs.end());
  options.out = flags.out;
  options.val_fraction = flags.val_fraction;
  options.seed = flags.seed;
  options.nanogpt = flags.format == "nanogpt";
  options.documents = flags.documents;
  options.documents.separator = unescape(flags.documents.separator);
  ProgressBar bar("tokenising", 100);
  options.progress = [&](uint64_t done, uint64_t total, int64_t tokens) {
    const double done_mb = static_cast<double>(done) / 1e6;
    const double total_mb = static_cast<double>(total) / 1e6;
    bar.update(total == 0 ? 0 : 100 * done / total,
               total == 0
                   ? fmt::format("{:.1f} MB · {} tokens", done_mb, tokens)
                   : fmt::format("{:.1f} of {:.1f} MB · {} tokens", done_mb, total_mb, tokens));
  };
  const auto start = std::chrono::steady_clock::now();
  const text::PrepareSummary summary = text::prepare(tokenizer, options);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  ProgressBar::clear_line();
  const nlohmann::ordered_json json = {{"out", flags.out},
                                       {"train_tokens", summary.train_tokens},
                                       {"train_documents", summary.train_documents},
                                       {"val_tokens", summary.val_tokens},
                                       {"val_documents", summary.val_documents},
                                       {"empty_documents", summary.empty_documents},
                                       {"seconds", seconds}};
  if (flags.json) {
    print_json_line(json);
    return;
  }
  print_line("{}: train {} tokens in {} documents, val {} tokens in {} documents ({:.1f} s)",
             flags.out, summary.train_tokens, summary.train_documents, summary.val_tokens,
             summary.val_documents, seconds);
  if (summary.empty_documents > 0)
    print_output("{} empty documents left out\n", summary.empty_documents);
}

}  // namespace

void add_data(CLI::App& program) {
  CLI::App& command =
      *program.add_subcommand("data", "convert text to the token files that train reads");
  auto flags = std::make_shared<DataFlags>();
  command
      .add_option("inputs", flags->inputs,
                  "text or JSON lines, plain or compressed by gzip or zstd; - = the standard input")
      ->required()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("FILES");
  command.add_option("--tokenizer", flags->tokenizer, "folder of the tokenizer")
      ->required()
      ->type_name("DIR");
  command.add_option("--out", flags->out, "folder for train.bin, val.bin and tokenizer/")
      ->required()
      ->type_name("DIR");
  add_number(command, "--val-fraction", flags->val_fraction, proper_share(),
             "share of the documents for val.bin; 0 = none");
  add_number(command, "--seed", flags->seed, at_least(0), "seed of the split");
  add_choice(command, "--format", flags->format, {"twofour", "nanogpt"},
             "twofour, or nanogpt: bare uint16 files");
  command
      .add_option("--document-separator", flags->documents.separator,
                  "separator of documents in a text; \\n and \\t are escapes, \"\" = each file is "
                  "one document")
      ->type_name("TEXT");
  add_input_options(command, flags->documents);
  add_threads_option(command);
  command.add_flag("--json", flags->json, "print the summary as one JSON object");
  set_example(command, "twofour data text.txt --tokenizer tokenizer --out data");
  on_run(command, [flags] { run_data(*flags); });
}

}  // namespace twofour::cli
