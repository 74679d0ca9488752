#include "twofour/text/content.h"

#include <algorithm>

#include "twofour/base/error.h"
#include "twofour/text/json_text.h"
#include "twofour/text/json_values.h"

namespace twofour::text {
namespace {

constexpr auto kNone = std::string_view::npos;

struct Beginning {
  bool is_decided = true;  // false: more input is needed
  bool is_json = false;    // with or without a text
  bool has_text = false;
  ContentKind kind = ContentKind::kText;
};

std::string_view without_space(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(" \t\n\r"), text.size()));
}

// Whether `text` begins like an object, or could if it continued.
bool may_be_object(std::string_view text) {
  if (text.empty()) return true;
  if (text[0] != '{') return false;
  const std::string_view inside = without_space(text.substr(1));
  return inside.empty() || inside[0] == '"' || inside[0] == '}';
}

Beginning classify(std::string_view text, const std::string& field) {
  text = without_space(text);
  const bool is_array = text.starts_with('[');
  if (is_array) text = without_space(text.substr(1));
  Beginning beginning;
  if (!may_be_object(text)) return beginning;
  const size_t end = JsonExtent().find_end(text);
  beginning.is_decided = end != kNone;
  if (end == kNone) return beginning;
  const std::string_view object = text.substr(0, end);
  const bool spans_lines = object.find('\n') != kNone;
  beginning.kind = is_array || spans_lines ? ContentKind::kJson : ContentKind::kJsonLines;
  JsonText json(field);
  beginning.has_text = json.accepts(object);
  beginning.is_json = beginning.has_text || JsonText::is_valid(object);
  return beginning;
}

// Looks at the first value.
Beginning beginning_of(Input& input, const std::string& field) {
  constexpr size_t kFirstLook = size_t{64} << 10, kLastLook = size_t{64} << 20;
  for (size_t look = kFirstLook;; look *= 2) {
    const std::string_view seen = input.peek(look);
    const Beginning beginning = classify(seen, field);
    if (beginning.is_decided || seen.size() < look || look >= kLastLook) return beginning;
  }
}

bool is_one_of(const std::string& suffix, std::initializer_list<const char*> names) {
  return std::find(names.begin(), names.end(), suffix) != names.end();
}

std::string files_of(const Input& input) {
  if (input.name().front() != '"') return input.name() + " is";
  return input.suffix().empty() ? "files without a suffix are" : input.suffix() + " files are";
}

}  // namespace

Content content_of(Input& input, const std::string& format, const std::string& field) {
  if (format == "text") return {ContentKind::kText, ""};
  if (format == "jsonl") return {ContentKind::kJsonLines, ""};
  if (format == "json") return {ContentKind::kJson, ""};
  if (format != "auto") {
    fail_usage("--input-format \"{}\": choose auto, text, jsonl or json", printable(format));
  }
  const bool names_lines = is_one_of(input.suffix(), {".jsonl", ".ndjson", ".jl"});
  const bool names_json = names_lines || input.suffix() == ".json";
  const Beginning beginning = beginning_of(input, field);
  if (!beginning.has_text && !names_json) {
    if (!beginning.is_json) return {ContentKind::kText, ""};
    return {ContentKind::kText,
            fmt::format("{} read as text, though JSON without a string in \"{}\": --text-field "
                        "names another field",
                        files_of(input), printable(field))};
  }
  if (names_lines && beginning.kind != ContentKind::kJson) return {ContentKind::kJsonLines, ""};
  const ContentKind kind =
      beginning.kind == ContentKind::kText ? ContentKind::kJsonLines : beginning.kind;
  return {kind,
          fmt::format("{} read as {}, by content (--input-format text takes it as "
                      "text)",
                      files_of(input), kind == ContentKind::kJson ? "JSON values" : "JSON lines")};
}

}  // namespace twofour::text
