// The components after the model: decoders, and the ids around a text.
#include "twofour/base/error.h"
#include "twofour/text/tokenizer_json_components.h"

namespace twofour::text {
namespace {

DecodeStep read_decode_step(const fs::path& path, const Json& component) {
  const std::string type = type_of(component);
  const auto text = [&](const char* field) { return need_string(path, component, field); };
  if (type == "ByteLevel") return {DecodeStep::kByteLevel};
  if (type == "ByteFallback") return {DecodeStep::kByteFallback};
  if (type == "Fuse") return {DecodeStep::kFuse};
  if (type == "BPEDecoder") return {DecodeStep::kBpe, text("suffix")};
  if (type == "Replace") {
    return {.kind = DecodeStep::kReplace,
            .text = text("content"),
            .pattern = std::make_shared<const Pattern>(need_pattern(path, component))};
  }
  if (type == "Strip") {
    return {.kind = DecodeStep::kStrip,
            .text = need_character(path, component, "content"),
            .start = need_count(path, component, "start"),
            .stop = need_count(path, component, "stop")};
  }
  if (type == "Metaspace") {
    const Metaspace metaspace = read_metaspace(path, component);
    return {.kind = DecodeStep::kMetaspace,
            .text = metaspace.replacement,
            .flag = metaspace.scheme != PrependScheme::kNever};
  }
  if (type == "WordPiece") {
    return {.kind = DecodeStep::kWordPiece,
            .text = text("prefix"),
            .flag = need_flag(path, component, "cleanup")};
  }
  if (type == "CTC") {
    return {.kind = DecodeStep::kCtc,
            .text = text("pad_token"),
            .delimiter = text("word_delimiter_token"),
            .flag = need_flag(path, component, "cleanup")};
  }
  refuse(path, fmt::format("the decoder {} is not supported",
                           printable(type.empty() ? component.dump() : type)));
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

void read_template(const fs::path& path, const Json& processor, Tokenizer::Implementation& out) {
  bool behind_text = false;
  if (!processor.contains("single") || !processor["single"].is_array() ||
      !processor.contains("special_tokens")) {
    refuse(path, "its TemplateProcessing has no list \"single\" or no special_tokens");
  }
  for (const Json& item : processor["single"]) {
    if (item.is_object() && item.contains("Sequence")) {
      const Json& sequence = item["Sequence"];
      if (!sequence.is_object() || read_string(path, sequence, "id") != "A") {
        refuse(path, "its TemplateProcessing for one text has another one than A");
      }
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

// "cls" before a text and "sep" after it, each a token with its id.
void read_bert(const fs::path& path, const Json& processor, Tokenizer::Implementation& out) {
  const auto id_of = [&](const char* field) {
    const Json& pair = processor.contains(field) ? processor[field] : Json();
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string()) {
      refuse(path,
             fmt::format("{} of {} is no pair of a token and its id", field, type_of(processor)));
    }
    return read_id(path, pair[1], pair[0].get<std::string>());
  };
  out.prefix_ids = {id_of("cls")};
  out.suffix_ids = {id_of("sep")};
}

}  // namespace

std::vector<DecodeStep> read_decoder(const fs::path& path, const Json& json) {
  std::vector<DecodeStep> steps;
  for (const Json& component : read_sequence(path, json, "decoder", "decoders")) {
    steps.push_back(read_decode_step(path, component));
  }
  // An absent decoder puts spaces between pieces, an empty Sequence does not.
  const bool is_empty_sequence = json.contains("decoder") && json["decoder"].is_object();
  if (steps.empty() && is_empty_sequence) steps.push_back({DecodeStep::kFuse});
  return steps;
}

void read_post_processor(const fs::path& path, const Json& json, Tokenizer::Implementation& out) {
  bool adds = false;
  for (const Json& component : read_sequence(path, json, "post_processor", "processors")) {
    const std::string type = type_of(component);
    if (type == "ByteLevel") continue;  // about offsets only
    if (adds) refuse(path, "two post-processors that add ids are not supported");
    adds = true;
    if (type == "TemplateProcessing") {
      read_template(path, component, out);
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      read_bert(path, component, out);
    } else {
      refuse(path, fmt::format("the post-processor {} is not supported",
                               printable(type.empty() ? component.dump() : type)));
    }
  }
}

}  // namespace twofour::text
