#include "twofour/text/tokenizer.h"

#include <chrono>
#include <cstdio>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"
#include "twofour/base/progress.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/input_options.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/output_folder.h"
#include "twofour/cli/values.h"
#include "twofour/text/bpe_trainer.h"
#include "twofour/text/documents.h"
#include "twofour/text/lines.h"
#include "twofour/text/splitter.h"

namespace twofour::cli {
namespace {

struct TokenizerFlags {
  std::vector<std::string> files, special_tokens = {"<|endoftext|>"};
  std::string tokenizer, out, file = "-";
  text::DocumentOptions documents;
  int32_t vocabulary_size = 0;
  bool jsonl = false, json = false, special = false;
};

std::string input_name(const std::string& file) { return file == "-" ? "/dev/stdin" : file; }

void write_line(const std::string& line) {
  write_output(line);
  write_output("\n");
}

// The ids as a JSON array. Values of nlohmann would take 16 bytes each.
std::string to_json(const std::vector<int32_t>& ids) {
  std::string out = "[";
  for (const int32_t id : ids) {
    if (out.size() > 1) out += ',';
    const fmt::format_int digits(id);
    out.append(digits.data(), digits.size());
  }
  return out + "]";
}

void run_encode(const TokenizerFlags& flags) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(flags.tokenizer);
  const auto encode = [&](std::string_view text, const std::string& place) {
    try {
      return flags.special ? tokenizer.encode_with_special(text) : tokenizer.encode(text);
    } catch (const Error& error) {
      fail("cannot encode \"{}\": {}{}", flags.file, place, error.what());
    }
  };
  if (!flags.jsonl) {
    // Reads all bytes: a byte-order mark and zeros are characters to a tokenizer.
    const std::string text = read_file_or_pipe(input_name(flags.file), kLargestText);
    write_line(to_json(encode(text, "")));
    return;
  }
  text::JsonLines texts{text::LineReader(text::Input(flags.file)), flags.documents.text_field};
  for (std::string text; texts.next(text);) {
    const std::vector<int32_t> ids = encode(text, fmt::format("line {}: ", texts.lines().number()));
    write_line("{\"ids\":" + to_json(ids) + "}");
  }
}

std::vector<int32_t> read_ids(const nlohmann::json& json, const std::string& file, int64_t line) {
  const bool is_list = json.is_array() && std::all_of(json.begin(), json.end(), [](const auto& id) {
                         return id.is_number_integer() && id >= INT32_MIN && id <= INT32_MAX;
                       });
  if (!is_list) fail("cannot decode \"{}\": line {} is not a JSON array of token ids", file, line);
  return json.get<std::vector<int32_t>>();
}

void run_decode(const TokenizerFlags& flags) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(flags.tokenizer);
  text::LineReader lines{text::Input(flags.file)};
  for (std::string_view line; lines.next(line);) {
    const int64_t number = lines.number();
    auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (flags.jsonl)
      json = json.is_object() && json.contains("ids") ? json["ids"] : nlohmann::json();
    const std::vector<int32_t> ids = read_ids(json, flags.file, number);
    std::string text;
    try {
      text = tokenizer.decode(ids, flags.special);
    } catch (const Error& error) {
      fail("cannot decode \"{}\": line {}: {}", flags.file, number, error.what());
    }
    if (!flags.jsonl) {
      write_output(text);
      continue;
    }
    write_line(nlohmann::json{{"text", text}}.dump(-1, ' ', false,
                                                   nlohmann::json::error_handler_t::replace));
  }
}

void run_train(const TokenizerFlags& flags) {
  const auto start = std::chrono::steady_clock::now();
  check_tokenizer_folder(flags.out);
  static const text::Splitter rule{std::string(text::kGpt2Rule)};
  text::DocumentOptions options = flags.documents;
  options.safe_cut = [](std::string_view text, size_t begin) { return rule.safe_cut(text, begin); };
  text::BpeTrainer trainer(flags.vocabulary_size, flags.special_tokens);
  {
    text::DocumentFiles files({flags.files.begin(), flags.files.end()}, options);
    ProgressBar bar("counting words", files.bytes());
    for (text::Part part; files.next(part);) {
      trainer.add(part.text);
      bar.update(files.bytes_done());
    }
  }
  text::Tokenizer tokenizer = [&] {
    ProgressBar bar("merging", static_cast<uint64_t>(flags.vocabulary_size));
    return trainer.train([&](int64_t pieces) {
      bar.update(static_cast<uint64_t>(pieces), fmt::format("{} pieces", pieces));
    });
  }();
  if (tokenizer.vocabulary_size() < flags.vocabulary_size) {
    spdlog::warn("the vocabulary has {} pieces, not {}: every word of the text is a piece already",
                 tokenizer.vocabulary_size(), flags.vocabulary_size);
  }
  AtomicFolder folder(flags.out);
  tokenizer.save(folder.path());
  folder.commit();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (flags.json) {
    print_json_line({{"out", flags.out},
                     {"vocabulary_size", tokenizer.vocabulary_size()},
                     {"seconds", seconds}});
  } else {
    print_line("{}: {} pieces ({:.1f} s)", flags.out, tokenizer.vocabulary_size(), seconds);
  }
}

void add_training(CLI::App& group, const std::shared_ptr<TokenizerFlags>& flags) {
  CLI::App& command = *group.add_subcommand("train", "learn byte-level BPE from text");
  command
      .add_option("files", flags->files, "text or JSON lines, plain or compressed by gzip or zstd")
      ->required()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("FILES");
  add_number(command, "--vocab-size", flags->vocabulary_size, between(1, kLargestSize),
             "pieces, special tokens included")
      ->required();
  command.add_option("--out", flags->out, "folder for tokenizer.json")
      ->required()
      ->type_name("DIR");
  command
      .add_option("--special-token", flags->special_tokens,
                  "special token, never produced from text; the first one ends documents")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("S");
  add_input_options(command, flags->documents);
  command.add_flag("--json", flags->json, "print the summary as one JSON object");
  set_example(command, "twofour tokenizer train text.txt --vocab-size 4096 --out tokenizer");
  on_run(command, [flags] { run_train(*flags); });
}

void add_coding(CLI::App& group, const std::shared_ptr<TokenizerFlags>& flags, const char* name,
                const char* help, const char* jsonl_help, const char* special_flag,
                const char* special_help, const char* example, void (*run)(const TokenizerFlags&)) {
  CLI::App& command = *group.add_subcommand(name, help);
  command.add_option("--tokenizer", flags->tokenizer, "folder of the tokenizer, or its file")
      ->required()
      ->type_name("DIR");
  command.add_option("file", flags->file, "- = the standard input")->type_name("FILE");
  command.add_flag("--jsonl", flags->jsonl)->description(jsonl_help);
  command.add_flag(special_flag, flags->special)->description(special_help);
  add_threads_option(command);
  set_example(command, example);
  on_run(command, [flags, run] { run(*flags); });
}

}  // namespace

void add_tokenizer(CLI::App& program) {
  CLI::App& group =
      *program.add_subcommand("tokenizer", "train a tokenizer; convert text to ids and back");
  group.require_subcommand(1);
  auto flags = std::make_shared<TokenizerFlags>();
  add_training(group, flags);
  add_coding(group, flags, "encode", "convert the input, as one text, to a JSON array of ids",
             "convert each line {\"text\": …} to a line {\"ids\": …}", "--special",
             "include the tokens that the model's tokenizer adds around a text",
             "twofour tokenizer encode --tokenizer tokenizer text.txt", run_encode);
  add_coding(group, flags, "decode", "convert JSON arrays of ids, one per line, to text",
             "convert each line {\"ids\": …} to a line {\"text\": …}", "--skip-special",
             "omit special tokens",
             "echo '[1, 2, 3]' | twofour tokenizer decode --tokenizer tokenizer", run_decode);
}

}  // namespace twofour::cli
