// The components before the model: normalizers and pre-tokenizers.
#include "twofour/text/tokenizer_json_components.h"

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"

namespace twofour::text {
namespace {

[[noreturn]] void refuse_component(const fs::path& path, const char* kind, const Json& component) {
  const std::string type = type_of(component);
  refuse(path, fmt::format("the {} {} is not supported", kind,
                           printable(type.empty() ? component.dump() : type)));
}

[[noreturn]] void refuse_field(const fs::path& path, const Json& component, const char* field,
                               const char* expected) {
  refuse(path,
         fmt::format("{} of {} is {}, expected {}", field, printable(type_of(component)),
                     component.contains(field) ? printable(component[field].dump()) : "missing",
                     expected));
}

std::optional<NormalizationForm> form_of(const std::string& type) {
  if (type == "NFC") return NormalizationForm::kNfc;
  if (type == "NFD") return NormalizationForm::kNfd;
  if (type == "NFKC") return NormalizationForm::kNfkc;
  if (type == "NFKD") return NormalizationForm::kNfkd;
  return std::nullopt;
}

Normalizer read_normalizer(const fs::path& path, const Json& component) {
  const std::string type = type_of(component);
  if (const auto form = form_of(type)) return make_form(*form);
  if (type == "Lowercase") return make_lowercase();
  if (type == "Strip") {
    return make_strip(need_flag(path, component, "strip_left"),
                      need_flag(path, component, "strip_right"));
  }
  if (type == "StripAccents") return make_strip_accents();
  if (type == "Nmt") return make_nmt();
  if (type == "Prepend") {
    const std::string prefix = need_string(path, component, "prepend");
    if (prefix.empty()) refuse_field(path, component, "prepend", "some characters");
    return make_prepend(prefix);
  }
  if (type == "Replace") {
    return make_replace(need_pattern(path, component), need_string(path, component, "content"));
  }
  if (type == "ByteLevel") return make_byte_characters();
  refuse_component(path, "normalizer", component);
}

Cut read_cut(const fs::path& path, const Json& component) {
  static const std::pair<const char*, Cut> kNames[] = {
      {"Removed", Cut::kRemoved},
      {"Isolated", Cut::kIsolated},
      {"MergedWithPrevious", Cut::kMergedWithPrevious},
      {"MergedWithNext", Cut::kMergedWithNext},
      {"Contiguous", Cut::kContiguous}};
  for (const auto& [name, cut] : kNames) {
    if (need_string(path, component, "behavior") == name) return cut;
  }
  refuse_field(path, component, "behavior", "Isolated or another one that is known");
}

PreTokenizer read_whole_pre_tokenizer(const fs::path& path, const Json& component) {
  const std::string type = type_of(component);
  const auto cut = [](const CodePointSet& set, Cut how) {
    return make_cut(Cutter(Pattern(set), how));
  };
  if (type == "Split") {
    return make_cut(Cutter(need_pattern(path, component), read_cut(path, component),
                           need_flag(path, component, "invert")));
  }
  if (type == "Digits") {
    const bool individual = need_flag(path, component, "individual_digits");
    return cut(numeric(), individual ? Cut::kIsolated : Cut::kContiguous);
  }
  if (type == "Punctuation") {
    return cut(punctuation(),
               component.contains("behavior") ? read_cut(path, component) : Cut::kIsolated);
  }
  if (type == "WhitespaceSplit") return cut(white_space(), Cut::kRemoved);
  if (type == "Whitespace") return make_whitespace();
  if (type == "CharDelimiterSplit" || type == "Delimiter") {
    const std::string delimiter = need_character(path, component, "delimiter");
    return make_cut(Cutter(Pattern::string(delimiter), Cut::kRemoved));
  }
  if (type == "FixedLength") {
    const size_t length = component.contains("length") ? need_count(path, component, "length") : 5;
    if (length == 0) refuse_field(path, component, "length", "at least 1");
    return make_fixed_length(length);
  }
  if (type == "Metaspace") {
    const Metaspace metaspace = read_metaspace(path, component);
    return make_metaspace(metaspace.replacement, metaspace.scheme, metaspace.split);
  }
  refuse_component(path, "pre-tokenizer", component);
}

}  // namespace

std::vector<Json> read_sequence(const fs::path& path, const Json& json, const char* field,
                                const char* members) {
  if (!json.contains(field) || json[field].is_null()) return {};
  const Json& component = json[field];
  if (type_of(component) != "Sequence") return {component};
  if (!component.contains(members) || !component[members].is_array()) {
    refuse(path, fmt::format("the Sequence of its {} has no list {}", field, members));
  }
  std::vector<Json> parts;
  for (const Json& member : component[members]) {
    if (!member.is_object()) refuse_component(path, field, member);
    for (Json& part : read_sequence(path, {{"part", member}}, "part", members)) {
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

Pipeline read_pipeline(const fs::path& path, const Json& json) {
  Pipeline out;
  for (const Json& component : read_sequence(path, json, "normalizer", "normalizers")) {
    out.normalizers.push_back(read_normalizer(path, component));
  }
  for (const Json& component : read_sequence(path, json, "pre_tokenizer", "pretokenizers")) {
    const std::string type = type_of(component);
    if (out.maps_bytes) out.pre_tokenizers.push_back(make_byte_level_map());
    out.maps_bytes = type == "ByteLevel";
    if (type == "ByteLevel") {
      out.pre_tokenizers.push_back(
          make_byte_level_cut(need_flag(path, component, "add_prefix_space"),
                              read_flag(path, component, "use_regex", true)));
    } else if (type == "BertPreTokenizer") {
      out.pre_tokenizers.push_back(make_cut(Cutter(Pattern(white_space()), Cut::kRemoved)));
      out.pre_tokenizers.push_back(make_cut(Cutter(Pattern(punctuation()), Cut::kIsolated)));
    } else {
      out.pre_tokenizers.push_back(read_whole_pre_tokenizer(path, component));
    }
  }
  return out;
}

Metaspace read_metaspace(const fs::path& path, const Json& component) {
  Metaspace out{need_character(path, component, "replacement"), PrependScheme::kAlways,
                read_flag(path, component, "split", true)};
  const std::string scheme = component.contains("prepend_scheme")
                                 ? need_string(path, component, "prepend_scheme")
                                 : "always";
  if (scheme == "first") out.scheme = PrependScheme::kFirst;
  if (scheme == "never") out.scheme = PrependScheme::kNever;
  if (scheme != "first" && scheme != "never" && scheme != "always") {
    refuse_field(path, component, "prepend_scheme", "always, first or never");
  }
  if (!read_flag(path, component, "add_prefix_space", true) && scheme != "never") {
    refuse(path, "Metaspace has add_prefix_space false and another prepend_scheme than never");
  }
  return out;
}

bool need_flag(const fs::path& path, const Json& component, const char* field) {
  if (!component.contains(field) || !component[field].is_boolean()) {
    refuse_field(path, component, field, "true or false");
  }
  return component[field].get<bool>();
}

size_t need_count(const fs::path& path, const Json& component, const char* field) {
  if (!component.contains(field) || !component[field].is_number_integer() || component[field] < 0) {
    refuse_field(path, component, field, "a count");
  }
  return component[field].get<size_t>();
}

std::string need_string(const fs::path& path, const Json& component, const char* field) {
  if (!component.contains(field) || !component[field].is_string()) {
    refuse_field(path, component, field, "a string");
  }
  return component[field].get<std::string>();
}

std::string need_character(const fs::path& path, const Json& component, const char* field) {
  const std::string text = need_string(path, component, field);
  if (text.empty() || utf8_sequence_length(text) != text.size()) {
    refuse_field(path, component, field, "one character");
  }
  return text;
}

Pattern need_pattern(const fs::path& path, const Json& component) {
  const Json* pattern = component.contains("pattern") ? &component["pattern"] : nullptr;
  if (pattern && pattern->is_object() && pattern->size() == 1) {
    const std::string& kind = pattern->begin().key();
    const Json& text = pattern->begin().value();
    if (kind == "String" && text.is_string()) return Pattern::string(text.get<std::string>());
    try {
      if (kind == "Regex" && text.is_string()) return Pattern(Regex(text.get<std::string>()));
    } catch (const Error& error) {
      refuse(path, fmt::format("{}: {}", type_of(component), error.what()));
    }
  }
  refuse_field(path, component, "pattern", "a String or a Regex");
}

}  // namespace twofour::text
