// GPT-2's own pair of files, and the tokenizers that are trained here.
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

// What transformers writes beside its tokenizer_config.json, older versions even without it.
constexpr const char* kSpecialTokenFiles[] = {"special_tokens_map.json", "added_tokens.json"};

void set_gpt2_encoder(const fs::path& path, std::vector<std::string> pieces,
                      const std::vector<Bpe::Merge>& merges, Tokenizer::Implementation& out) {
  out.vocabulary_size = static_cast<int32_t>(pieces.size());
  out.decoder = {{DecodeStep::kByteLevel}};
  for (const std::string& piece : pieces) {
    out.pieces.emplace_back();
    if (!piece.empty()) out.pieces.back() = bytes_to_characters(piece);
  }
  try {
    auto bpe = std::make_unique<Bpe>(std::move(pieces), merges, /*ignore_merges=*/false);
    out.encoder =
        std::make_unique<ByteLevelEncoder>(kGpt2Rule, ByteLevelEncoder::Options{}, std::move(bpe));
  } catch (const Error& error) {
    refuse(path, error.what());
  }
}

// In a folder that transformers wrote the special token is one wherever it stands in a text;
// GPT-2's files as they were published say nothing of special tokens, there it is plain text.
bool is_of_transformers(const fs::path& folder) {
  return fs::exists(folder / "tokenizer_config.json") ||
         std::any_of(std::begin(kSpecialTokenFiles), std::end(kSpecialTokenFiles),
                     [&](const char* name) { return fs::exists(folder / name); });
}

Json added_token_json(const std::string& content, int32_t id) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

}  // namespace

MutableTokenizer read_vocabulary_and_merges(const fs::path& vocabulary, const fs::path& merges) {
  auto out = std::make_shared<Tokenizer::Implementation>();
  const std::string vocabulary_text = read_file(vocabulary), merges_text = read_file(merges);
  const std::string end = "<|endoftext|>";
  const Json json = parse_object(vocabulary, vocabulary_text);
  std::vector<std::string> pieces = read_vocabulary(vocabulary, json);
  pieces_to_bytes(vocabulary, {end}, pieces);
  if (json.contains(end)) {
    const auto id = json[end].get<int32_t>();
    out->added_content[id] = end;
    out->special.insert(id);
    if (is_of_transformers(vocabulary.parent_path())) out->raw_tokens.add(end, id);
  }
  const auto ranked = read_merge_lines(merges, merges_text, pieces);
  set_gpt2_encoder(merges, std::move(pieces), ranked, *out);
  out->files["vocab.json"] = vocabulary_text;
  out->files["merges.txt"] = merges_text;
  // Kept, so that the tokenizer as it is saved finds the same special token.
  for (const char* name : kSpecialTokenFiles) {
    const fs::path beside = vocabulary.parent_path() / name;
    if (fs::exists(beside)) out->files[name] = read_file(beside);
  }
  read_tokenizer_config(vocabulary, *out);
  return out;
}

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
  read_tokenizer_config({}, *out);
  return Tokenizer(out);
}

}  // namespace twofour::text
