// Tokenizers that were trained here.
#include "twofour/text/added_vocabulary.h"
#include "twofour/text/tokenizer_documents.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {

Tokenizer make_tokenizer(const std::vector<std::string>& pieces,
                         const std::vector<Bpe::Merge>& merges, size_t special_tokens) {
  const auto piece = [&](int32_t id) { return pieces[static_cast<size_t>(id)]; };
  Json vocabulary = Json::object(), merge_list = Json::array();
  for (size_t id = 0; id < pieces.size(); ++id) vocabulary[pieces[id]] = id;
  for (const Bpe::Merge& merge : merges) {
    merge_list.push_back({piece(merge.left), piece(merge.right)});
  }
  Json json = bpe_document(std::move(vocabulary), std::move(merge_list));
  json["pre_tokenizer"] = json["decoder"] = byte_level_json(/*add_prefix_space=*/false, true);
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false}};
  std::optional<int32_t> first;
  AddedVocabulary added(json["model"]["vocab"]);
  for (size_t id = 0; id < special_tokens; ++id) {
    added.add({.content = pieces[id], .special = true});
  }
  if (special_tokens > 0) {
    config["bos_token"] = config["eos_token"] = pieces.front();
    first = 0;
  }
  json["added_tokens"] = added.json();
  const MutableTokenizer out = read_tokenizer_json("tokenizer.json", json);
  set_usual_tokens(first, first, *out);
  out->files["tokenizer.json"] = json.dump() + "\n";
  out->files["tokenizer_config.json"] = config.dump(2) + "\n";
  return Tokenizer(out);
}

}  // namespace twofour::text
