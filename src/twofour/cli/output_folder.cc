#include "twofour/cli/output_folder.h"

#include <algorithm>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/conversion.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/model_place.h"

namespace twofour::cli {
namespace {

// The files that transformers and this program write for a model and its tokenizer.
bool is_model_file(const fs::directory_entry& entry) {
  static const std::set<std::string> kOthers = {
      "config.json",       "generation_config.json", "model.safetensors.index.json",
      "masks.safetensors", "chat_template.json",     "vocab.txt",
      "spiece.model"};
  const std::string name = entry.path().filename().string();
  return entry.is_regular_file() &&
         (kOthers.count(name) || checkpoint::tokenizer_files().count(name) ||
          (name.starts_with("model") && name.ends_with(".safetensors")));
}

// Whether `in` holds the same file and it is copied, so that replacing it loses nothing.
bool comes_again(const fs::directory_entry& entry, const fs::path& in,
                 const std::set<std::string>& extras) {
  const std::string name = entry.path().filename().string();
  return entry.is_regular_file() && extras.count(name) &&
         read_file(entry.path(), kLargestVocabulary) == read_file(in / name, kLargestVocabulary);
}

}  // namespace

fs::path folder_of(const fs::path& out) {
  // With its slash, "out/" would be its own parent.
  const fs::path path = fs::absolute(out);
  return (path.has_filename() ? path : path.parent_path()).parent_path();
}

void check_outside_model(const std::string& option, const fs::path& out, const fs::path& in) {
  if (out.empty()) fail_usage("{} names no folder", option);
  if (!fs::is_directory(in)) return;
  const fs::path folder = checkpoint::find_model(in).folder;
  std::error_code error;
  // "a/" has an empty last part.
  const fs::path inner = fs::weakly_canonical(fs::absolute(out) / "", error);
  const fs::path outer = fs::canonical(folder, error);
  if (error) return;  // the command will fail with a better message
  const auto [end, rest] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  if (end != outer.end() || rest == inner.end() || rest->empty()) return;
  fail_usage("{} \"{}\" lies inside the model's own folder \"{}\": choose another", option,
             out.string(), folder.string());
}

void check_run_folder(const fs::path& out, const fs::path& in) {
  check_outside_model("--out", out, in);
  if (!fs::is_directory(in)) return;
  std::error_code error;
  if (!fs::equivalent(out, checkpoint::find_model(in).folder, error)) return;
  fail_usage("--out \"{}\" is the model's own folder: choose another", out.string());
}

void check_tokenizer_folder(const fs::path& out) {
  if (out.empty()) fail_usage("--out names no folder");
  if (!is_taken(out)) return;
  if (!fs::is_directory(out)) {
    fail_usage("\"{}\" is a file, and --out is a folder: choose another", out.string());
  }
  for (const auto& entry : fs::directory_iterator(out)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && checkpoint::tokenizer_files().contains(name)) continue;
    fail_usage(
        "\"{}\" holds \"{}\", which is no file of a tokenizer and would be lost: choose "
        "another --out",
        out.string(), name);
  }
}

void check_replaceable(const fs::path& folder, const fs::path& in) {
  const fs::path extras_in = fs::is_directory(in) ? checkpoint::find_model(in).tokenizer : in;
  const std::set<fs::directory_entry> entries(fs::directory_iterator(folder), {});
  if (entries.empty()) return;
  const std::set<std::string> extras = checkpoint::extra_files(extras_in);
  for (const fs::directory_entry& entry : entries) {
    if (is_model_file(entry) || comes_again(entry, extras_in, extras)) continue;
    fail_usage(
        "\"{}\" holds \"{}\", which --force would delete although it is no model file: remove it "
        "or choose another OUT",
        folder.string(), printable(entry.path().filename().string()));
  }
  const fs::path path = folder / "config.json";
  const auto config = fs::exists(path)
                          ? nlohmann::json::parse(read_file(path, kLargestSettings), nullptr, false)
                          : nlohmann::json();
  if (config.is_object() && config.contains("model_type")) return;
  fail_usage(
      "\"{}\" holds no model (no config.json with a model_type): remove it or choose another OUT",
      folder.string());
}

void check_output_folder(const fs::path& out, const fs::path& in, bool force) {
  check_outside_model("--out", out, in);
  if (fs::exists(out)) {
    if (!force) {
      fail_usage("\"{}\" exists: choose another --out, or replace it with --force", out.string());
    }
    if (!fs::is_directory(out)) {
      fail_usage("\"{}\" is a file, and --out is a folder: choose another", out.string());
    }
    check_replaceable(out, in);
  }
  remove_abandoned(folder_of(out));
}

}  // namespace twofour::cli
