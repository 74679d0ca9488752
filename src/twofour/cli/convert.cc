#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"
#include "twofour/base/progress.h"
#include "twofour/base/streams.h"
#include "twofour/checkpoint/conversion.h"
#include "twofour/checkpoint/json_file.h"
#include "twofour/checkpoint/llama2c.h"
#include "twofour/cli/command.h"
#include "twofour/cli/convert_tokens.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/model_option.h"
#include "twofour/cli/output_folder.h"
#include "twofour/cli/values.h"
#include "twofour/tensor/dtype.h"
#include "twofour/text/llama2c_tokenizer.h"
#include "twofour/text/token_file.h"
#include "twofour/text/tokenizer.h"

namespace twofour::cli {
namespace {

using checkpoint::ModelSource;

struct ConvertFlags {
  std::string in, out, to, dtype, tokenizer, model, largest_shard;
  bool force = false, json = false, is_strict = false;
};

bool is_model(const std::string& format) {
  return format == "hf" || format == "compressed-tensors" || format == "llama2c";
}
bool is_masks(const std::string& format) {
  return format == "npz" || format == "masks" || format == "t24";
}
bool is_folder(const std::string& format) {
  return format == "hf" || format == "compressed-tensors";
}

// The format of IN, from its content. Files that do not state their format are read as an input for
// `to`, so a damaged one is refused with the place of the damage.
std::string format_of(const fs::path& in, const std::string& to) {
  if (fs::is_directory(in)) {
    const checkpoint::ModelPlace place = checkpoint::find_model(in);
    if (place.step) return "hf";
    const auto config = checkpoint::read_json_object(place.folder / "config.json");
    return config.contains("quantization_config") ? "compressed-tensors" : "hf";
  }
  if (is_model(to)) {
    const std::string foreign = checkpoint::foreign_kind(in);
    if (!foreign.empty()) fail("cannot read \"{}\": {}", in.string(), foreign);
    return "llama2c";
  }
  if (is_masks(to)) {
    constexpr const char* kNames[] = {"masks", "npz", "t24"};  // of a MaskFormat
    return kNames[static_cast<size_t>(checkpoint::mask_format_of(in))];
  }
  if (checkpoint::is_llama2c(in)) return "llama2c";
  return fs::exists(fs::path(in).replace_extension(".json")) ? "twofour" : "nanogpt";
}

void check_flags(const ConvertFlags& flags, const std::string& from) {
  const bool to_folder = is_folder(flags.to);
  const bool possible = is_model(from)
                            ? is_model(flags.to) || (is_folder(from) && is_masks(flags.to))
                        : is_masks(from) ? is_masks(flags.to)
                                         : !is_model(flags.to) && !is_masks(flags.to);
  if (!possible) fail("\"{}\" is {}, which cannot become {}", flags.in, from, flags.to);
  const auto only = [&](const char* option, bool given, bool allowed, const char* where) {
    if (given && !allowed) fail_usage("{} is for {} only", option, where);
  };
  only("--dtype", !flags.dtype.empty(), to_folder, "--to hf and compressed-tensors");
  only("--max-shard-size", !flags.largest_shard.empty(), to_folder,
       "--to hf and compressed-tensors");
  only("--tokenizer", !flags.tokenizer.empty(), is_model(flags.to) || flags.to == "twofour",
       "--to hf, compressed-tensors, llama2c and twofour");
  only("--model", !flags.model.empty(), is_masks(from), "files of masks");
  if (is_masks(from) && flags.model.empty()) {
    fail_usage("masks need --model DIR, the model that they are for");
  }
  if (is_model(flags.to)) return;
  // Token files need one too: their .json of the same stem must be another file.
  const std::string extension = !is_masks(flags.to)   ? ".bin"
                                : flags.to == "masks" ? ".safetensors"
                                                      : "." + flags.to;
  if (fs::path(flags.out).extension() != extension) {
    fail_usage("--to {} writes a file: let OUT end in {}", flags.to, extension);
  }
}

// The name that llama2.c's program expects.
fs::path llama2c_tokenizer_path(const ConvertFlags& flags) {
  return fs::path(flags.out).replace_filename("tokenizer.bin");
}

// OUT and the other paths that are written or removed with it.
std::vector<fs::path> replaced_by(const ConvertFlags& flags) {
  std::vector<fs::path> paths = {flags.out};
  if (flags.to == "twofour" || flags.to == "nanogpt") {
    paths.push_back(text::token_info_path(flags.out));
  } else if (flags.to == "llama2c" && !flags.tokenizer.empty()) {
    paths.push_back(llama2c_tokenizer_path(flags));
  }
  return paths;
}

void check_target(const ConvertFlags& flags) {
  if (flags.out.empty())
    fail_usage("OUT is empty: name a {}", is_folder(flags.to) ? "folder" : "file");
  if (is_folder(flags.to)) check_outside_model("OUT", flags.out, flags.in);
  for (const fs::path& path : replaced_by(flags)) {
    if (flags.force || !fs::exists(path)) continue;
    fail_usage("\"{}\" exists: choose another OUT, or replace it with --force", path.string());
  }
  if (!fs::is_directory(flags.out)) return;
  if (!is_folder(flags.to)) {
    fail_usage("\"{}\" is a folder, but --to {} writes a file: choose another OUT", flags.out,
               flags.to);
  }
  check_replaceable(flags.out, flags.in);
}

void save_folder(const ConvertFlags& flags, const ModelSource& source,
                 const std::optional<text::Tokenizer>& tokenizer) {
  const uint64_t largest =
      bytes_named(flags.largest_shard.empty() ? "5GB" : flags.largest_shard).value();
  AtomicFolder folder(flags.out);
  if (flags.to == "hf") {
    checkpoint::write_folder(folder.path(), source, largest);
  } else {
    checkpoint::write_compressed_folder(folder.path(), source, largest);
  }
  if (tokenizer) tokenizer->save(folder.path());
  folder.commit();
}

std::optional<text::Tokenizer> load_tokenizer(const ConvertFlags& flags) {
  if (flags.tokenizer.empty()) return std::nullopt;
  return text::Tokenizer::load(flags.tokenizer);
}

// The tokenizer's ids, or llama2.c's own.
checkpoint::SpecialIds special_ids(const std::optional<text::Tokenizer>& tokenizer) {
  checkpoint::SpecialIds special = {1, {2}};
  if (!tokenizer) return special;
  special = {};
  if (tokenizer->begin_of_text()) special.begin = *tokenizer->begin_of_text();
  if (tokenizer->end_of_text()) special.end = {*tokenizer->end_of_text()};
  return special;
}

// Such values may explain a model that computes nothing. Their bits are kept.
void warn_of_non_finite(const std::set<std::string>& names) {
  if (names.empty()) return;
  ProgressBar::clear_line();
  spdlog::warn(
      "\"{}\"{} values that are infinite or NaN", printable(*names.begin()),
      names.size() == 1 ? " holds" : fmt::format(" and {} more tensors hold", names.size() - 1));
}

void convert_model(const ConvertFlags& flags, const std::string& from) {
  const std::optional<text::Tokenizer> tokenizer = load_tokenizer(flags);
  ModelSource source = from == "llama2c"
                           ? checkpoint::open_llama2c(flags.in, special_ids(tokenizer))
                           : checkpoint::open_folder(open_model({flags.in, flags.is_strict}));
  const int64_t vocabulary =
      std::visit([](const auto& config) { return config.vocabulary; }, source.model);
  if (tokenizer && tokenizer->vocabulary_size() > vocabulary) {
    fail("\"{}\" has ids up to {}, but the model's vocabulary is {}", flags.tokenizer,
         tokenizer->vocabulary_size() - 1, vocabulary);
  }
  if (is_masks(flags.to)) {
    if (source.masks.empty()) fail("\"{}\" holds no masks", flags.in);
    checkpoint::write_masks(flags.out, source.masks, source.shapes);
    return;
  }
  if (!flags.dtype.empty()) checkpoint::convert_dtype(source, tensor::dtype_named(flags.dtype));
  uint64_t total = 0, done = 0;
  for (const auto& tensor : source.tensors) total += tensor.bytes();
  std::set<std::string> non_finite;
  ProgressBar bar("converting", total);
  for (auto& tensor : source.tensors) {
    tensor.make = [&, make = tensor.make, name = tensor.name, bytes = tensor.bytes()] {
      bar.update(std::min(total, done += bytes));
      at::Tensor values = make();
      if (checkpoint::count_non_finite(values) > 0) non_finite.insert(name);
      return values;
    };
  }
  if (flags.to == "llama2c") {
    // Checks both before either is written.
    const std::string content = tokenizer ? text::llama2c_tokenizer(*tokenizer) : "";
    checkpoint::write_llama2c(flags.out, source);
    if (tokenizer) write_file(llama2c_tokenizer_path(flags), content);
  } else {
    save_folder(flags, source, tokenizer);
  }
  warn_of_non_finite(non_finite);
}

void convert_masks(const ConvertFlags& flags) {
  const checkpoint::ModelFolder folder = open_model({flags.model, flags.is_strict});
  const checkpoint::WeightShapes shapes = checkpoint::parameter_shapes(folder.config().model);
  checkpoint::write_masks(flags.out, checkpoint::read_masks(flags.in, shapes), shapes);
}

struct Written {
  int64_t files = 0;
  uintmax_t bytes = 0;
};

Written written(const fs::path& out) {
  if (!fs::is_directory(out)) return {1, fs::file_size(out)};
  Written sum;
  for (const auto& entry : fs::directory_iterator(out)) {
    ++sum.files;
    sum.bytes += entry.file_size();
  }
  return sum;
}

void run_convert(const ConvertFlags& flags) {
  const auto start = std::chrono::steady_clock::now();
  const std::string from = format_of(flags.in, flags.to);
  check_flags(flags, from);
  check_target(flags);
  remove_abandoned(folder_of(flags.out));
  if (is_model(from)) {
    convert_model(flags, from);
  } else if (is_masks(from)) {
    convert_masks(flags);
  } else {
    convert_tokens(flags.in, flags.out, flags.to == "twofour", load_tokenizer(flags));
  }
  ProgressBar::clear_line();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto [files, bytes] = written(flags.out);
  if (flags.json) {
    print_json_line({{"in", flags.in},
                     {"from", from},
                     {"out", flags.out},
                     {"to", flags.to},
                     {"files", files},
                     {"bytes", bytes},
                     {"seconds", seconds}});
  } else {
    print_line("{}: {} from {}, {} {}, {:.1f} MB ({:.1f} s)", flags.out, flags.to, from, files,
               files == 1 ? "file" : "files", static_cast<double>(bytes) / 1e6, seconds);
  }
}

}  // namespace

void add_convert(CLI::App& program) {
  CLI::App& command = *program.add_subcommand(
      "convert", "models, masks and token files from one format to another");
  auto flags = std::make_shared<ConvertFlags>();
  command
      .add_option("in", flags->in,
                  "a model folder, llama2.c model, token file (.bin) or masks (.npz, .safetensors, "
                  ".t24)")
      ->required()
      ->type_name("IN");
  command.add_option("out", flags->out, "a folder, or the file's name")
      ->required()
      ->type_name("OUT");
  add_choice(
      command, "--to", flags->to,
      {"hf", "compressed-tensors", "llama2c", "nanogpt", "twofour", "npz", "masks", "t24"},
      "hf: Hugging Face folder; compressed-tensors: the same with 2:4 layers as "
      "sparse-24-bitmask; llama2c: its .bin; nanogpt, twofour: token files; npz, masks, t24: "
      "masks as MaskLLM's .npz, as masks.safetensors or, if they are N:M, at their entropy")
      ->required()
      ->type_name("FORMAT");
  add_dtype(command, "--dtype", flags->dtype, "dtype of the written weights (default: unchanged)");
  add_size(command, "--max-shard-size", flags->largest_shard,
           "maximum size of a file of weights: 5GB (default), 200MB, 1GiB");
  command
      .add_option(
          "--tokenizer", flags->tokenizer,
          "folder, tokenizer.model or llama2.c's tokenizer.bin, to go with the model (for "
          "llama2c as tokenizer.bin beside OUT); for twofour: the tokenizer that made the tokens")
      ->type_name("PATH");
  command.add_option("--model", flags->model, "the model whose masks IN holds")->type_name("DIR");
  add_strict_option(command, flags->is_strict);
  command.add_flag("--force", flags->force, "replace OUT");
  add_threads_option(command);
  command.add_flag("--json", flags->json, "print the summary as one JSON object");
  set_example(command, "twofour convert run/model half --to hf --dtype bfloat16");
  on_run(command, [flags] { run_convert(*flags); });
}

}  // namespace twofour::cli
