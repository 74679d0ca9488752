// The two shapes of most models, which have their own encoders.
#include "twofour/text/splitter.h"
#include "twofour/text/tokenizer_documents.h"
#include "twofour/text/tokenizer_json_components.h"

namespace twofour::text {
namespace {

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

// The rule for spaces that the normalizers express.
std::optional<SpaceRule> find_space_rule(const std::vector<Json>& normalizers) {
  for (const bool collapse : {false, true}) {
    for (const auto prefix : {SpaceRule::kAlways, SpaceRule::kNone}) {
      const SpaceRule rule{prefix, collapse, /*before_tokens=*/true};
      const std::vector<Json> known = normalizers_of(rule);
      if (normalizers == known) return rule;
      if (!collapse && normalizers == std::vector<Json>(known.rbegin(), known.rend())) return rule;
    }
  }
  return std::nullopt;
}

SpaceRule::Prefix prefix_of(PrependScheme scheme) {
  if (scheme == PrependScheme::kNever) return SpaceRule::kNone;
  return scheme == PrependScheme::kFirst ? SpaceRule::kFirstUnlessThere : SpaceRule::kUnlessThere;
}

// The rule of a Split that makes matches pieces; empty for another one.
std::string isolating_rule(const Json& split) {
  const bool isolates =
      split.value("behavior", Json()) == "Isolated" && split.value("invert", Json()) == false;
  const Json& pattern = split.value("pattern", Json());
  if (!isolates || !pattern.is_object() || !pattern.contains("Regex")) return "";
  return pattern["Regex"].is_string() ? pattern["Regex"].get<std::string>() : "";
}

}  // namespace

std::optional<ByteLevelShape> find_byte_level_shape(const fs::path& path, const Json& json) {
  ByteLevelShape shape;
  const auto normalizers = read_sequence(path, json, "normalizer", "normalizers");
  shape.options.nfc = normalizers.size() == 1 && type_of(normalizers[0]) == "NFC";
  if (!normalizers.empty() && !shape.options.nfc) return std::nullopt;
  auto parts = read_sequence(path, json, "pre_tokenizer", "pretokenizers");
  if (!parts.empty() && type_of(parts[0]) == "Digits") {
    const bool individual = need_flag(path, parts[0], "individual_digits");
    shape.options.digits.emplace(Pattern(numeric()),
                                 individual ? Cut::kIsolated : Cut::kContiguous);
    parts.erase(parts.begin());
  }
  std::string rule;
  if (!parts.empty() && type_of(parts[0]) == "Split") {
    rule = isolating_rule(parts[0]);
    if (!Splitter::knows(rule)) return std::nullopt;
    parts.erase(parts.begin());
  }
  if (parts.size() != 1 || type_of(parts[0]) != "ByteLevel") return std::nullopt;
  shape.options.add_prefix_space = need_flag(path, parts[0], "add_prefix_space");
  const bool uses_rule = read_flag(path, parts[0], "use_regex", true);
  if (rule.empty() != uses_rule) return std::nullopt;
  // Only a separate rule comes after the space that ByteLevel puts before a text.
  const bool cuts_before = shape.options.digits || !uses_rule;
  if (shape.options.add_prefix_space && cuts_before) return std::nullopt;
  shape.rule = uses_rule             ? kGpt2Rule
               : rule == kLlama3Rule ? kLlama3Rule
               : rule == kQwen2Rule  ? kQwen2Rule
                                     : kGpt2Rule;
  return shape;
}

std::optional<CharacterShape> find_character_shape(const fs::path& path, const Json& json) {
  const auto normalizers = read_sequence(path, json, "normalizer", "normalizers");
  const auto parts = read_sequence(path, json, "pre_tokenizer", "pretokenizers");
  if (parts.empty()) {
    if (const auto rule = find_space_rule(normalizers)) return CharacterShape{*rule};
    return std::nullopt;
  }
  if (!normalizers.empty() || parts.size() != 1 || type_of(parts[0]) != "Metaspace") {
    return std::nullopt;
  }
  const Metaspace metaspace = read_metaspace(path, parts[0]);
  if (metaspace.replacement != kSpaceSymbol) return std::nullopt;
  CharacterShape shape;
  shape.spaces.prefix = prefix_of(metaspace.scheme);
  shape.split_words = metaspace.split;
  return shape;
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
