// tokenizer_config.json: the tokens that begin and end a text, and whether they are added.
#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/text/json_reader.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {
namespace {

// "bos_token" and the like: a string, an object with "content", or null.
std::string token_content(const fs::path& path, const Json& config, const char* field) {
  if (config.contains(field) && config[field].is_object()) {
    return read_string(path, config[field], "content");
  }
  return read_string(path, config, field);
}

std::optional<int32_t> find_added(const Tokenizer::Implementation& tokenizer,
                                  std::initializer_list<std::string> names) {
  for (const std::string& name : names) {
    for (const auto& [id, content] : tokenizer.added_content) {
      if (content == name) return id;
    }
  }
  return std::nullopt;
}

// The token that the config names for a role. One that a single file lacks belongs to another.
std::optional<int32_t> find_role(const fs::path& path, const Json& config, const char* role,
                                 const Tokenizer::Implementation& tokenizer) {
  const std::string content = token_content(path, config, role);
  const auto id = find_added(tokenizer, {content});
  if (!id && !content.empty()) {
    spdlog::warn(
        "\"{}\" names the {} \"{}\", which the file beside it lacks: give the folder, so "
        "that all files are read",
        path.string(), role, printable(content));
  }
  return id;
}

}  // namespace

void read_tokenizer_config(const fs::path& neighbour, Tokenizer::Implementation& out) {
  const fs::path path = neighbour.parent_path() / "tokenizer_config.json";
  std::optional<int32_t> begin, end;
  if (!neighbour.empty() && fs::exists(path)) {
    const std::string content = read_file(path, kLargestSettings);
    const Json config = parse_object(path, content);
    begin = find_role(path, config, "bos_token", out);
    end = find_role(path, config, "eos_token", out);
    // transformers 5 lets the template of a tokenizer.json decide, whatever the flags say.
    const bool adds_begin = read_flag(path, config, "add_bos_token", false);
    const bool adds_end = read_flag(path, config, "add_eos_token", false);
    const bool has_flags = config.contains("add_bos_token") || config.contains("add_eos_token");
    if (has_flags && !out.files.contains("tokenizer.json")) {
      // GPT-2's, where the config names none.
      const auto usual = find_added(out, {"<|endoftext|>"});
      const auto first = begin ? begin : usual, last = end ? end : usual;
      out.prefix_ids.clear();
      out.suffix_ids.clear();
      if (adds_begin && first) out.prefix_ids = {*first};
      if (adds_end && last) out.suffix_ids = {*last};
    }
    out.files["tokenizer_config.json"] = content;
  }
  set_usual_tokens(begin, end, out);
}

void set_usual_tokens(std::optional<int32_t> begin, std::optional<int32_t> end,
                      Tokenizer::Implementation& out) {
  if (begin) out.begin_of_text = begin;
  if (end) out.end_of_text = end;
  if (!out.begin_of_text) out.begin_of_text = find_added(out, {"<|begin_of_text|>", "<s>"});
  if (!out.end_of_text) {
    out.end_of_text = find_added(out, {"<|endoftext|>", "<|end_of_text|>", "</s>"});
  }
}

}  // namespace twofour::text
