// The tokenizers that are trained here.
#include <algorithm>
#include <iterator>

#include "twofour/base/error.h"
#include "twofour/text/byte_level.h"
#include "twofour/text/byte_level_encoder.h"
#include "twofour/text/json_reader.h"
#include "twofour/text/tokenizer_files.h"
#include "twofour/text/vocabulary.h"

namespace twofour::text {
namespace {

void set_gpt2_encoder(const fs::path& path, std::vector<std::string> pieces,
                      const std::vector<Bpe::Merge>& merges, Tokenizer::Implementation& out) {
  out.vocabulary_size = static_cast<int32_t>(pieces.size());
  try {
    auto bpe = std::make_unique<Bpe>(std::move(pieces), merges, /*ignore_merges=*/false);
    out.encoder =
        std::make_unique<ByteLevelEncoder>(kGpt2Rule, ByteLevelEncoder::Options{}, std::move(bpe));
  } catch (const Error& error) {
    refuse(path, error.what());
  }
}

Json added_token_json(const std::string& content, int32_t id) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

}  // namespace

Tokenizer make_tokenizer(const std::vector<std::string>& pieces,
                         const std::vector<Bpe::Merge>& merges,
                         const std::vector<std::string>& special_tokens) {
  auto out = std::make_shared<Tokenizer::Implementation>();
  Json added = Json::array(), vocabulary = Json::object(), merge_list = Json::array();
  for (size_t id = 0; id < pieces.size(); ++id) {
    const bool special = id < special_tokens.size();
    vocabulary[special ? pieces[id] : bytes_to_characters(pieces[id])] = id;
    if (!special) continue;
    added.push_back(added_token_json(pieces[id], static_cast<int32_t>(id)));
    out->raw_tokens.add(pieces[id], static_cast<int32_t>(id));
    out->added_content[static_cast<int32_t>(id)] = pieces[id];
    out->special.insert(static_cast<int32_t>(id));
  }
  const auto characters = [&](int32_t id) {
    return bytes_to_characters(pieces[static_cast<size_t>(id)]);
  };
  for (const Bpe::Merge& merge : merges) {
    merge_list.push_back({characters(merge.left), characters(merge.right)});
  }
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  const Json json = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", byte_level},
                     {"post_processor", nullptr},
                     {"decoder", byte_level},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", false},
                       {"vocab", vocabulary},
                       {"merges", merge_list}}}};
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false}};
  if (!special_tokens.empty()) {
    config["bos_token"] = config["eos_token"] = special_tokens.front();
  }
  set_gpt2_encoder("tokenizer.json", pieces, merges, *out);
  out->files["tokenizer.json"] = json.dump() + "\n";
  out->files["tokenizer_config.json"] = config.dump(2) + "\n";
  std::optional<int32_t> first;
  if (!special_tokens.empty()) first = 0;
  set_usual_tokens(first, first, *out);
  return Tokenizer(out);
}

}  // namespace twofour::text
