#include "twofour/text/tokenizer_documents.h"

#include "twofour/text/character_bpe.h"
#include "twofour/text/splitter.h"

namespace twofour::text {
namespace {

const std::string kSpace(kSpaceSymbol);

void make_llama(TokenizerClass type, const ClassOptions& options, Json& json) {
  const bool code = type == TokenizerClass::kCodeLlama;
  json["model"]["fuse_unk"] = json["model"]["byte_fallback"] = true;
  if (code) json["model"]["unk_token"] = options.unknown_token;
  const char* scheme = !options.add_prefix_space ? "never"
                       : options.legacy && !code ? "always"
                                                 : "first";
  json["pre_tokenizer"] = metaspace_json(scheme);
  json["decoder"] = space_decoder_json(/*byte_fallback=*/true, options.add_prefix_space || code);
}

}  // namespace

Json bpe_document(Json vocabulary, Json merges) {
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", false}};
  model["vocab"] = std::move(vocabulary);
  model["merges"] = std::move(merges);
  Json json = {{"version", "1.0"},      {"truncation", nullptr},    {"padding", nullptr},
               {"normalizer", nullptr}, {"pre_tokenizer", nullptr}, {"post_processor", nullptr},
               {"decoder", nullptr}};
  json["added_tokens"] = Json::array();
  json["model"] = std::move(model);
  return json;
}

Json byte_level_json(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json split_json(const std::string& regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

Json metaspace_json(const char* prepend_scheme) {
  return {{"type", "Metaspace"},
          {"replacement", kSpace},
          {"prepend_scheme", prepend_scheme},
          {"split", false}};
}

Json replace_json(const char* kind, const std::string& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

Json space_decoder_json(bool byte_fallback, bool strip) {
  Json list = Json::array({replace_json("String", kSpace, " ")});
  if (byte_fallback) list.push_back({{"type", "ByteFallback"}});
  if (byte_fallback || strip) list.push_back({{"type", "Fuse"}});
  if (strip) list.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", list}};
}

Json class_document(TokenizerClass type, const ClassOptions& options, Json vocabulary,
                    Json merges) {
  Json json = bpe_document(std::move(vocabulary), std::move(merges));
  if (type == TokenizerClass::kLlama || type == TokenizerClass::kCodeLlama) {
    make_llama(type, options, json);
    return json;
  }
  json["decoder"] = byte_level_json(/*add_prefix_space=*/true, /*use_regex=*/true);
  if (type == TokenizerClass::kQwen2) {
    json["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {split_json(std::string(kQwen2Rule)), byte_level_json(options.add_prefix_space, false)}}};
  } else {
    json["pre_tokenizer"] = byte_level_json(options.add_prefix_space, true);
  }
  if (type != TokenizerClass::kGpt2) json["normalizer"] = {{"type", "NFC"}};
  return json;
}

Json template_json(const std::vector<std::pair<std::string, int32_t>>& before,
                   const std::vector<std::pair<std::string, int32_t>>& behind) {
  if (before.empty() && behind.empty()) return nullptr;
  Json special = Json::object(), single = Json::array(), pair = Json::array();
  const auto add_sequence = [&](const char* name, int type, Json& list) {
    const auto add_tokens = [&](const auto& tokens) {
      for (const auto& [content, id] : tokens) {
        list.push_back({{"SpecialToken", {{"id", content}, {"type_id", type}}}});
        special[content] = {
            {"id", content}, {"ids", Json::array({id})}, {"tokens", Json::array({content})}};
      }
    };
    add_tokens(before);
    list.push_back({{"Sequence", {{"id", name}, {"type_id", type}}}});
    add_tokens(behind);
  };
  add_sequence("A", 0, single);
  add_sequence("A", 0, pair);
  add_sequence("B", 1, pair);
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", special}};
}

}  // namespace twofour::text
