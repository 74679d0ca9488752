#include "twofour/text/tokenizer_folder.h"

#include <set>

#include <gtest/gtest.h>

#include "twofour/base/file.h"
#include "twofour/base/hash.h"
#include "twofour/text/added_vocabulary.h"
#include "twofour/text/bpe_trainer.h"
#include "twofour/text/tokenizer.h"
#include "twofour/text/tokenizer_class.h"

#include "testing.h"

namespace twofour::text {
namespace {

using testing::TemporaryFolder;

TokenizerClass choose(Json tokenizer_config, Json config, bool json_is_byte_level = false) {
  return choose_tokenizer_class(
      "folder", {std::move(tokenizer_config), std::move(config), json_is_byte_level});
}

Json named(const char* name) { return {{"tokenizer_class", name}}; }

Json of_type(const char* type) { return {{"model_type", type}}; }

TEST(TokenizerClass, is_the_named_one_or_that_of_the_model_type) {
  const Json none = Json::object();
  EXPECT_EQ(choose(none, none), TokenizerClass::kBackend);
  EXPECT_EQ(choose(named("GPT2TokenizerFast"), none), TokenizerClass::kGpt2);
  EXPECT_EQ(choose(named("LlamaTokenizer"), of_type("llama")), TokenizerClass::kLlama);
  EXPECT_EQ(choose(none, of_type("llama")), TokenizerClass::kBackend);
  EXPECT_EQ(choose(none, of_type("qwen3")), TokenizerClass::kQwen2);
  EXPECT_EQ(choose(none, of_type("code_llama")), TokenizerClass::kBackend);
  EXPECT_EQ(choose(none, {{"model_type", "llama"}, {"tokenizer_class", "GPT2Tokenizer"}}),
            TokenizerClass::kGpt2);
  EXPECT_EQ(choose(named("LLaMATokenizer"), of_type("llama")), TokenizerClass::kBackend);
  EXPECT_EQ(choose(named("PreTrainedTokenizerFast"), of_type("gpt2")), TokenizerClass::kBackend);
  EXPECT_EQ(choose(named("GPTNeoXTokenizerFast"), of_type("gpt2")), TokenizerClass::kGptNeoX);
}

TEST(TokenizerClass, is_that_of_the_type_where_published_folders_name_a_wrong_one) {
  EXPECT_EQ(choose(named("PreTrainedTokenizerFast"), of_type("qwen2")), TokenizerClass::kQwen2);
  EXPECT_EQ(choose(named("LlamaTokenizer"), of_type("mistral")), TokenizerClass::kBackend);
  EXPECT_EQ(choose(named("LlamaTokenizer"), of_type("phi3")), TokenizerClass::kBackend);
  EXPECT_EQ(choose(named("LlamaTokenizerFast"), of_type("llama"), /*json_is_byte_level=*/true),
            TokenizerClass::kBackend);
}

TEST(TokenizerClass, what_is_not_read_is_refused_by_name) {
  EXPECT_THAT_ERROR(choose(named("BertTokenizerFast"), Json::object()),
                    "the class BertTokenizer is not supported");
  EXPECT_THAT_ERROR(choose(Json::object(), of_type("gemma")), "GemmaTokenizer is not supported");
  Json own = named("SomeTokenizer");
  own["auto_map"] = {{"AutoTokenizer", {"some.SomeTokenizer", nullptr}}};
  EXPECT_THAT_ERROR(choose(own, Json::object()), "code of its own");
  own["tokenizer_class"] = "GPT2Tokenizer";
  EXPECT_EQ(choose(own, Json::object()), TokenizerClass::kGpt2);
}

TEST(AddedVocabulary, ids_are_the_pieces_own_or_the_next) {
  const Json pieces = {{"a", 0}, {"b", 7}};
  AddedVocabulary vocabulary(pieces);
  vocabulary.add({.content = "x"});
  EXPECT_EQ(vocabulary.find("x"), 2) << "the number of pieces";
  vocabulary.add({.content = "b"});
  EXPECT_EQ(vocabulary.find("b"), 7);
  vocabulary.add({.content = "y", .special = true});
  EXPECT_EQ(vocabulary.find("y"), 8);
  vocabulary.add({.content = ""});
  vocabulary.add({.content = "x", .lstrip = true});
  const Json json = vocabulary.json();
  ASSERT_EQ(json.size(), 3u);
  EXPECT_EQ(json[0]["lstrip"], true);
  EXPECT_EQ(json[0]["normalized"], true);
  EXPECT_EQ(json[2]["normalized"], false);
}

class TokenizerFolder : public ::testing::Test {
 protected:
  TokenizerFolder() {
    BpeTrainer trainer(290, {"<|endoftext|>"});
    trainer.add("the cat sat on the mat, the cat's hat 123 123");
    trainer.train().save(folder_ / "trained");
    const Json model = parse_object("", read_file(folder_ / "trained/tokenizer.json"))["model"];
    vocabulary_ = model["vocab"].dump();
    for (const Json& merge : model["merges"]) {
      merges_ += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
    }
  }

  // A folder of vocab.json, merges.txt and other files.
  Tokenizer load(const std::vector<std::pair<const char*, Json>>& files) {
    const fs::path path = folder_ / std::to_string(++folders_);
    make_folder(path);
    write_file(path / "vocab.json", vocabulary_);
    write_file(path / "merges.txt", merges_);
    for (const auto& [name, json] : files) write_file(path / name, json.dump());
    return Tokenizer::load(path);
  }

  TemporaryFolder folder_;
  std::string vocabulary_, merges_;
  int folders_ = 0;
};

TEST_F(TokenizerFolder, hash_changes_with_all_that_changes_an_id) {
  const Json gpt2 = named("GPT2Tokenizer");
  const auto with = [&](const char* field, Json value) {
    Json config = gpt2;
    config[field] = std::move(value);
    return load({{"tokenizer_config.json", config}}).hash();
  };
  const Tokenizer plain = load({{"tokenizer_config.json", gpt2}});
  EXPECT_EQ(with("chat_template", "{{ x }}"), plain.hash());
  EXPECT_EQ(with("add_prefix_space", false), plain.hash());
  std::set<std::string> hashes = {
      plain.hash(),
      load({}).hash(),
      with("add_prefix_space", true),
      with("eos_token", "<|im_end|>"),
      with("bos_token", "the"),
      with("add_bos_token", true),
      with("tokenizer_class", "Qwen2Tokenizer"),
      load({{"tokenizer_config.json", gpt2}, {"added_tokens.json", {{"<|user|>", 290}}}}).hash()};
  EXPECT_EQ(hashes.size(), 8u);
}

TEST_F(TokenizerFolder, hash_of_earlier_versions_is_still_known) {
  const Tokenizer tokenizer = load({{"tokenizer_config.json", named("GPT2Tokenizer")}});
  Hasher hasher;
  for (const std::string& piece :
       {std::string("merges.txt"), merges_, std::string("vocab.json"), vocabulary_}) {
    hasher.add(piece);
  }
  EXPECT_TRUE(tokenizer.has_hash(hasher.digest()));
  EXPECT_TRUE(tokenizer.has_hash(tokenizer.hash()));
  EXPECT_FALSE(tokenizer.has_hash(load({}).hash()));
}

TEST_F(TokenizerFolder, what_is_saved_reads_back_the_same_without_config_json) {
  const std::vector<std::vector<std::pair<const char*, Json>>> folders = {
      {},
      {{"config.json", of_type("gpt2")}},
      {{"config.json", of_type("qwen2")},
       {"tokenizer_config.json", named("PreTrainedTokenizerFast")}},
      {{"special_tokens_map.json", {{"eos_token", "<|im_end|>"}}}},
      {{"config.json", of_type("gpt_neox")}, {"added_tokens.json", {{"<|user|>", 291}}}}};
  for (const auto& files : folders) {
    const Tokenizer tokenizer = load(files);
    const fs::path saved = folder_ / ("saved-" + std::to_string(folders_));
    tokenizer.save(saved);
    const Tokenizer again = Tokenizer::load(saved);
    const std::string text = "the cat 123<|endoftext|><|user|> e\xcc\x81<|im_end|>";
    EXPECT_EQ(again.encode(text), tokenizer.encode(text)) << folders_;
    EXPECT_EQ(again.end_of_text(), tokenizer.end_of_text()) << folders_;
    EXPECT_EQ(again.hash(), tokenizer.hash()) << folders_;
  }
}

TEST_F(TokenizerFolder, fields_that_would_change_ids_are_refused) {
  const auto refuses = [&](Json config, const char* message) {
    config.update(named("GPT2Tokenizer"));
    EXPECT_THAT_ERROR(load({{"tokenizer_config.json", config}}), message);
  };
  refuses({{"split_special_tokens", true}}, "split_special_tokens true is not supported");
  refuses({{"fix_mistral_regex", true}}, "fix_mistral_regex true is not supported");
  refuses({{"init_inputs", {"a"}}}, "init_inputs");
  refuses({{"bos_token", 3}}, "bos_token is 3, expected a token");
  refuses({{"added_tokens_decoder", {{"x", {{"content", "y"}}}}}}, "has the key \"x\"");
  refuses({{"added_tokens_decoder", {{"1", "y"}}}}, "expected an object with \"content\"");
  refuses({{"extra_special_tokens", 3}}, "extra_special_tokens is 3, expected a list");
  EXPECT_THAT_ERROR(load({{"tokenizer_config.json", named("LlamaTokenizer")}}),
                    "its class is LlamaTokenizer, which reads tokenizer.json or tokenizer.model");
  EXPECT_THAT_ERROR(load({{"config.json", of_type("llama")}}), "PreTrainedTokenizerFast");
  EXPECT_THAT_ERROR(load({{"config.json", of_type("gpt2")}, {"tekken.json", Json::object()}}),
                    "this kind of file is not supported");
}

}  // namespace
}  // namespace twofour::text
