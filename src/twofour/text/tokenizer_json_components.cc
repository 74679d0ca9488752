#include "twofour/text/tokenizer_json_components.h"

#include "twofour/base/error.h"
#include "twofour/text/splitter.h"

namespace twofour::text {
namespace {

[[noreturn]] void refuse_component(const fs::path& path, const char* kind, const Json& component) {
  const std::string type = type_of(component);
  refuse(path, fmt::format("the {} {} is not supported here", kind,
                           printable(type.empty() ? component.dump() : type)));
}

// The components of a "Sequence", those inside it flattened; null is none.
std::vector<Json> flatten(const Json& json, const char* field, const char* members) {
  if (!json.contains(field) || json[field].is_null()) return {};
  const Json& component = json[field];
  if (type_of(component) != "Sequence" || !component.contains(members) ||
      !component[members].is_array()) {
    return {component};
  }
  std::vector<Json> parts;
  for (const Json& member : component[members]) {
    for (Json& part : flatten({{"part", member}}, "part", members))
      parts.push_back(std::move(part));
  }
  return parts;
}

Json replace_json(const char* kind, const std::string& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

std::vector<Json> normalizers_of(const SpaceRule& rule) {
  const std::string symbol(kSpaceSymbol);
  const Json prepend = {{"type", "Prepend"}, {"prepend", symbol}};
  std::vector<Json> list;
  if (rule.collapse) list.push_back(replace_json("Regex", "\\A +", ""));
  if (rule.prefix == SpaceRule::kAlways) list.push_back(prepend);
  list.push_back(rule.collapse ? replace_json("Regex", " +", symbol)
                               : replace_json("String", " ", symbol));
  if (rule.collapse) list.push_back(replace_json("Regex", symbol + "+\\z", ""));
  return list;
}

// Whether the normalizer is a rule for spaces; NFC and none are not.
bool read_normalizer(const fs::path& path, const Json& json, Components& out) {
  const std::vector<Json> parts = flatten(json, "normalizer", "normalizers");
  out.byte_level_options.nfc = parts.size() == 1 && type_of(parts[0]) == "NFC";
  if (parts.empty() || out.byte_level_options.nfc) return false;
  SpaceRule& rule = out.spaces;
  for (const bool collapse : {false, true}) {
    for (const auto prefix : {SpaceRule::kAlways, SpaceRule::kNone}) {
      rule = {prefix, collapse, true};
      std::vector<Json> known = normalizers_of(rule);
      if (parts == known) return true;
      if (!collapse && parts == std::vector<Json>(known.rbegin(), known.rend())) return true;
    }
  }
  refuse(path, fmt::format("the normalizer {} is not supported",
                           printable(json["normalizer"].dump(), 200)));
}

void read_byte_level(const fs::path& path, const std::vector<Json>& parts, Components& out) {
  std::string& digits = out.byte_level_options.digits_rule;
  for (const Json& part : parts) {
    const std::string type = type_of(part);
    const bool known_order = !out.byte_level;
    if (type == "Split" && known_order && out.rule.empty()) {
      require(path, part, "behavior", {"Isolated"});
      require(path, part, "invert", {false});
      if (!part.contains("pattern") || !part["pattern"].is_object() ||
          !part["pattern"].contains("Regex") || !part["pattern"]["Regex"].is_string()) {
        refuse(path, "a Split pre-tokenizer without a Regex is not supported");
      }
      out.rule = part["pattern"]["Regex"].get<std::string>();
    } else if (type == "Digits" && known_order && out.rule.empty() && digits.empty()) {
      digits = read_flag(path, part, "individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)";
    } else if (type == "ByteLevel" && known_order) {
      out.byte_level = true;
      out.byte_level_options.add_prefix_space = read_flag(path, part, "add_prefix_space", true);
      if (read_flag(path, part, "use_regex", true)) {
        if (!out.rule.empty()) {
          refuse(path, "two splitting rules after each other are not supported");
        }
        out.rule = kGpt2Rule;
      }
    } else {
      refuse_component(path, "pre-tokenizer", part);
    }
  }
  if (!out.byte_level || out.rule.empty()) {
    refuse(path, "byte-level BPE without a splitting rule is not supported");
  }
  if (!digits.empty() && out.byte_level_options.add_prefix_space) {
    refuse(path, "Digits with add_prefix_space true is not supported");
  }
}

void read_metaspace(const fs::path& path, const Json& part, Components& out) {
  require(path, part, "replacement", {std::string(kSpaceSymbol)});
  const std::string scheme = read_string(path, part, "prepend_scheme");
  require(path, part, "prepend_scheme", {"always", "first", "never"});
  const bool add = read_flag(path, part, "add_prefix_space", true);
  out.spaces.prefix = scheme == "never" || !add ? SpaceRule::kNone
                      : scheme == "first"       ? SpaceRule::kFirstUnlessThere
                                                : SpaceRule::kUnlessThere;
  out.split_words = read_flag(path, part, "split", true);
}

// What stands before the model: either byte-level, or spaces as pieces.
void read_front(const fs::path& path, const Json& json, Components& out) {
  const bool normalizes = read_normalizer(path, json, out);
  const std::vector<Json> parts = flatten(json, "pre_tokenizer", "pretokenizers");
  const bool metaspace =
      !out.byte_level_options.nfc && parts.size() == 1 && type_of(parts[0]) == "Metaspace";
  if (normalizes) {
    if (!parts.empty()) refuse_component(path, "pre-tokenizer", parts[0]);
  } else if (metaspace) {
    read_metaspace(path, parts[0], out);
  } else {
    read_byte_level(path, parts, out);
  }
}

void read_decoder(const fs::path& path, const Json& json, Components& out) {
  if (out.byte_level) return;
  const std::string symbol(kSpaceSymbol);
  for (const Json& part : flatten(json, "decoder", "decoders")) {
    const std::string type = type_of(part);
    if (type == "Metaspace") {
      require(path, part, "replacement", {symbol});
      const bool strips = read_string(path, part, "prepend_scheme") != "never" &&
                          read_flag(path, part, "add_prefix_space", true);
      out.strip = strips ? Strip::kSpacesOfFirstPiece : Strip::kNothing;
    } else if (type == "Strip") {
      require(path, part, "content", {" "});
      require(path, part, "start", {0, 1});
      require(path, part, "stop", {0});
      if (part.value("start", Json(0)) == 1) out.strip = Strip::kOneSpace;
    } else if (part != replace_json("String", symbol, " ") && type != "ByteFallback" &&
               type != "Fuse") {
      refuse_component(path, "decoder", part);
    }
  }
}

std::vector<int32_t> template_ids(const fs::path& path, const Json& processor,
                                  const Json& special_token) {
  const std::string name =
      special_token.is_object() ? read_string(path, special_token, "id") : std::string();
  const Json& known = processor["special_tokens"];
  if (!known.is_object() || !known.contains(name) || !known[name].is_object() ||
      !known[name].contains("ids") || !known[name]["ids"].is_array()) {
    refuse(path, fmt::format("the template's special token \"{}\" has no ids", printable(name)));
  }
  std::vector<int32_t> ids;
  for (const Json& id : known[name]["ids"]) ids.push_back(read_id(path, id, name));
  return ids;
}

void read_template(const fs::path& path, const Json& processor, Components& out) {
  bool behind_text = false;
  if (!processor.contains("single") || !processor["single"].is_array() ||
      !processor.contains("special_tokens")) {
    refuse(path, "its TemplateProcessing has no list \"single\" or no special_tokens");
  }
  for (const Json& item : processor["single"]) {
    if (item.is_object() && item.contains("Sequence")) {
      if (behind_text) refuse(path, "its TemplateProcessing has the text twice");
      behind_text = true;
    } else if (item.is_object() && item.contains("SpecialToken")) {
      const auto ids = template_ids(path, processor, item["SpecialToken"]);
      auto& list = behind_text ? out.suffix_ids : out.prefix_ids;
      list.insert(list.end(), ids.begin(), ids.end());
    } else {
      refuse(path, "its TemplateProcessing holds neither a token nor the text: " +
                       printable(item.dump()));
    }
  }
  if (!behind_text) refuse(path, "its TemplateProcessing lacks the text");
}

void read_post_processor(const fs::path& path, const Json& json, Components& out) {
  for (const Json& part : flatten(json, "post_processor", "processors")) {
    const std::string type = type_of(part);
    if (type == "TemplateProcessing") {
      read_template(path, part, out);
    } else if (type != "ByteLevel") {
      refuse_component(path, "post-processor", part);
    }
  }
}

}  // namespace

Components read_components(const fs::path& path, const Json& json) {
  Components out;
  read_front(path, json, out);
  read_decoder(path, json, out);
  read_post_processor(path, json, out);
  return out;
}

Json normalizer_json(const SpaceRule& rule) {
  return {{"type", "Sequence"}, {"normalizers", normalizers_of(rule)}};
}

Json decoder_json(const SpaceRule& rule) {
  Json parts = {replace_json("String", std::string(kSpaceSymbol), " "),
                {{"type", "ByteFallback"}},
                {{"type", "Fuse"}}};
  if (rule.prefix != SpaceRule::kNone) {
    parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return {{"type", "Sequence"}, {"decoders", parts}};
}

}  // namespace twofour::text
