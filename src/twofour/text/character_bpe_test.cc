#include "twofour/text/character_bpe.h"

#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "twofour/base/file.h"
#include "twofour/base/parallel.h"
#include "twofour/base/utf8.h"
#include "twofour/text/decoder.h"
#include "twofour/text/tokenizer.h"

#include "testing.h"

namespace twofour::text {
namespace {

using Json = nlohmann::json;
using testing::TemporaryFolder;

const std::string kSpace(kSpaceSymbol);

std::string random_text(std::mt19937& random, size_t characters) {
  static const char32_t kAlphabet[] = {'a', 'b', 'c', 'a',    'b',  'c',   ' ',    ' ',
                                       ' ', '.', ',', '\n',   '\t', '1',   '<',    's',
                                       '>', '/', 0,   0x2581, 0xe9, 0x301, 0x4e2d, 0x1f600};
  std::string text;
  for (size_t i = 0; i < characters; ++i) {
    append_utf8(kAlphabet[random() % std::size(kAlphabet)], text);
  }
  return text;
}

// A random vocabulary of such characters: `merged` pieces, each of two others.
CharacterBpeParts random_parts(std::mt19937& random, int merged, bool known_only) {
  CharacterBpeParts parts;
  parts.pieces = {"<unk>", kSpace, "a", "b", "c", ".", "1", "\xc3\xa9", "\xe4\xb8\xad"};
  parts.unknown = 0;
  parts.fuse_unknown = random() % 2;
  if (known_only) parts.pieces.insert(parts.pieces.end(), {"\n", ","});
  while (merged-- > 0) {
    const auto left = static_cast<int32_t>(1 + random() % (parts.pieces.size() - 1));
    const auto right = static_cast<int32_t>(1 + random() % (parts.pieces.size() - 1));
    const std::string piece =
        parts.pieces[static_cast<size_t>(left)] + parts.pieces[static_cast<size_t>(right)];
    const auto known = std::find(parts.pieces.begin(), parts.pieces.end(), piece);
    const auto result = static_cast<int32_t>(known - parts.pieces.begin());
    if (known == parts.pieces.end()) parts.pieces.push_back(piece);
    parts.merges.push_back({left, right, static_cast<int32_t>(parts.merges.size()), result});
  }
  return parts;
}

TEST(CharacterBpe, words_encode_as_the_whole_text_does) {
  std::mt19937 random(3);
  size_t words = 0, characters = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    const CharacterBpe bpe(random_parts(random, static_cast<int>(random() % 12), trial % 2));
    std::string text = random_text(random, 30);
    for (size_t at; (at = text.find(kSpace)) != std::string::npos;) text.replace(at, 3, " ");
    std::vector<int32_t> whole, in_words;
    bpe.encode(text, whole);
    for (size_t begin = 0; begin < text.size(); ++words) {
      const size_t end = bpe.word_end(text, begin);
      bpe.encode(std::string_view(text).substr(begin, end - begin), in_words);
      begin = end;
    }
    ASSERT_EQ(in_words, whole) << printable(text, 200);
    characters += text.size();
  }
  EXPECT_GT(words, characters / 4) << "words are found at all";
}

/// tokenizer.json as LLaMA-2's, small.
Json llama2_json(bool byte_fallback = true) {
  std::vector<std::string> pieces = {"<unk>", "<s>", "</s>"};
  for (int byte = 0; byte < 256 && byte_fallback; ++byte) {
    pieces.push_back(fmt::format("<0x{:02X}>", byte));
  }
  for (const std::string& piece :
       {kSpace, std::string("a"), std::string("b"), std::string("c"), std::string("s"),
        std::string("."), std::string("<"), kSpace + "a", std::string("bc"), kSpace + "abc",
        kSpace + kSpace}) {
    pieces.push_back(piece);
  }
  Json vocabulary = Json::object(), added = Json::array();
  for (size_t id = 0; id < pieces.size(); ++id) vocabulary[pieces[id]] = id;
  for (size_t id = 0; id < 3; ++id) {
    added.push_back({{"id", id},
                     {"content", pieces[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const auto replace = [](const std::string& from, const std::string& to) -> Json {
    return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  const Json prepend = {{"type", "Prepend"}, {"prepend", kSpace}};
  const Json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  const Json single = {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                       {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                       {{"SpecialToken", {{"id", "</s>"}, {"type_id", 0}}}}};
  const auto special = [](const char* name, int id) -> Json {
    return {{"id", name}, {"ids", Json::array({id})}, {"tokens", Json::array({name})}};
  };
  const Json decoders =
      Json::array({replace(kSpace, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}, strip});
  return {
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer",
       {{"type", "Sequence"}, {"normalizers", Json::array({prepend, replace(" ", kSpace)})}}},
      {"pre_tokenizer", nullptr},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", single},
        {"special_tokens", {{"<s>", special("<s>", 1)}, {"</s>", special("</s>", 2)}}}}},
      {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
      {"model",
       {{"type", "BPE"},
        {"unk_token", "<unk>"},
        {"fuse_unk", true},
        {"byte_fallback", byte_fallback},
        {"vocab", vocabulary},
        {"merges", Json::array({kSpace + " a", "b c", kSpace + "a bc", kSpace + " " + kSpace})}}}};
}

Tokenizer load_json(const TemporaryFolder& folder, const Json& json) {
  write_file(folder / "tokenizer.json", json.dump());
  return Tokenizer::load(folder.path());
}

std::string pieces_of(const Tokenizer& tokenizer, std::string_view text) {
  std::string out;
  for (const int32_t id : tokenizer.encode(text)) {
    // If the first id decodes to nothing, the id after it keeps its space.
    out += "[" + tokenizer.decode(std::vector<int32_t>{0, id}).substr(5) + "]";
  }
  return out;
}

TEST(Llama2Tokenizer, a_space_goes_before_every_part_and_unknown_characters_become_bytes) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = load_json(folder, llama2_json());
  EXPECT_EQ(pieces_of(tokenizer, "abc abc"), "[ abc][ abc]");
  EXPECT_EQ(pieces_of(tokenizer, " abc  b"), "[ ][ abc][  ][b]");
  EXPECT_EQ(pieces_of(tokenizer, "abc</s>abc"), "[ abc][</s>][ abc]");
  EXPECT_EQ(pieces_of(tokenizer, "<s></s>"), "[<s>][</s>]");
  EXPECT_EQ(pieces_of(tokenizer, "\xc3\xa9"), "[ ][\ufffd][\ufffd]");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(" a\xf0\x9f\x98\x80  b\xe2\x96\x81")),
            " a\xf0\x9f\x98\x80  b ");
  EXPECT_TRUE(tokenizer.encode("").empty());
}

TEST(Llama2Tokenizer, without_bytes_a_run_of_unknown_characters_is_one_id) {
  const TemporaryFolder folder;
  Json json = llama2_json(/*byte_fallback=*/false);
  EXPECT_EQ(pieces_of(load_json(folder, json), "xyz.\xc3\xa9"), "[ ][<unk>][.][<unk>]");
  json["model"]["fuse_unk"] = false;
  EXPECT_EQ(pieces_of(load_json(folder, json), "xyz."), "[ ][<unk>][<unk>][<unk>][.]");
}

TEST(Llama2Tokenizer, metaspace_puts_a_space_only_where_none_is) {
  const TemporaryFolder folder;
  Json json = llama2_json();
  json["normalizer"] = nullptr;
  const auto with = [&](const char* scheme, bool split, std::string_view text) {
    json["pre_tokenizer"] = {{"type", "Metaspace"},
                             {"replacement", kSpace},
                             {"prepend_scheme", scheme},
                             {"split", split}};
    return pieces_of(load_json(folder, json), text);
  };
  EXPECT_EQ(with("always", false, "a</s> a</s>a"), "[ a][</s>][ a][</s>][ a]");
  EXPECT_EQ(with("first", false, "a</s> a</s>a"), "[ a][</s>][ a][</s>][a]");
  EXPECT_EQ(with("never", false, "a</s> a</s>a"), "[a][</s>][ a][</s>][a]");
  EXPECT_EQ(with("never", false, "  ."), "[  ][.]");
  EXPECT_EQ(with("never", true, "  ."), "[ ][ ][.]");
}

TEST(Llama2Tokenizer, tokens_with_normalized_are_found_in_the_normalized_text) {
  const TemporaryFolder folder;
  Json json = llama2_json();
  json["added_tokens"][1]["normalized"] = true;
  // As in tokenizers, the search for the token includes the space that the normalizer adds.
  const Tokenizer tokenizer = load_json(folder, json);
  EXPECT_EQ(tokenizer.encode("a <s>"), (std::vector<int32_t>{tokenizer.encode("a")[0], 1}));
  EXPECT_EQ(tokenizer.encode("<s>"), (std::vector<int32_t>{1}));
  const auto glued = tokenizer.encode("a<s>");
  EXPECT_EQ(std::count(glued.begin(), glued.end(), 1), 0);
}

TEST(Llama2Tokenizer, ids_around_a_text_come_from_the_template_whatever_the_config_says) {
  const TemporaryFolder folder;
  const Json json = llama2_json();
  const Tokenizer tokenizer = load_json(folder, json);
  const int32_t a = tokenizer.encode("a")[0];
  EXPECT_EQ(tokenizer.encode_with_special("a"), (std::vector<int32_t>{1, a, 2}));
  EXPECT_EQ(tokenizer.begin_of_text(), 1);
  EXPECT_EQ(tokenizer.end_of_text(), 2);
  write_file(folder / "tokenizer_config.json",
             R"({"add_bos_token": false, "bos_token": {"content": "</s>"}, "eos_token": "<s>"})");
  const Tokenizer other = load_json(folder, json);
  EXPECT_EQ(other.encode_with_special("a"), (std::vector<int32_t>{1, a, 2}));
  EXPECT_EQ(other.begin_of_text(), 2);
  EXPECT_EQ(other.end_of_text(), 1);
}

TEST(Llama2Tokenizer, cut_texts_and_threads_change_no_id) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = load_json(folder, llama2_json());
  std::mt19937 random(6);
  std::string text;
  while (text.size() < 600000) text += random_text(random, 200) + ".\nabc ";
  const int before = thread_count();
  set_thread_count(1);
  std::vector<int32_t> expected;  // of pieces so short that they are not cut
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(tokenizer.safe_cut(text, begin + 1000), text.size());
    const std::string_view part[] = {std::string_view(text).substr(begin, end - begin)};
    const auto ids = tokenizer.encode_batch(part, {begin > 0})[0];
    expected.insert(expected.end(), ids.begin(), ids.end());
    begin = end;
  }
  EXPECT_EQ(tokenizer.encode(text), expected);
  set_thread_count(3);
  EXPECT_EQ(tokenizer.encode(text), expected);
  set_thread_count(before);
  const std::string letters(1 << 20, 'a');
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(letters)), letters);
}

TEST(Decoder, one_id_at_a_time_is_the_whole_text) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = load_json(folder, llama2_json());
  std::mt19937 random(9);
  for (int trial = 0; trial < 500; ++trial) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 12; ++i) {
      ids.push_back(
          static_cast<int32_t>(random() % static_cast<unsigned>(tokenizer.vocabulary_size())));
    }
    for (const bool skip : {false, true}) {
      Decoder decoder(tokenizer, skip);
      std::string streamed;
      for (const int32_t id : ids) streamed += decoder.add(id);
      streamed += decoder.finish();
      ASSERT_EQ(streamed, tokenizer.decode(ids, skip));
    }
  }
  const auto ids = tokenizer.encode_with_special("abc abc");
  EXPECT_EQ(tokenizer.decode(ids), "<s> abc abc</s>");
  EXPECT_EQ(tokenizer.decode(ids, /*skip_special=*/true), "abc abc");
  Decoder decoder(tokenizer);
  EXPECT_THAT_ERROR(decoder.add(-1), "token id -1 is negative");
}

TEST(Llama2Tokenizer, damaged_files_are_refused_in_one_line) {
  const TemporaryFolder folder;
  const auto expect = [&](const char* pointer, const Json& value, const std::string& message) {
    Json json = llama2_json();
    json[Json::json_pointer(pointer)] = value;
    EXPECT_THAT_ERROR(load_json(folder, json), message);
  };
  Json deep = 1;
  for (int i = 0; i < 200; ++i) deep = Json::array({deep});
  expect("/normalizer", deep, "nested too deeply");
  expect("/normalizer", {{"type", "Unknown"}}, "the normalizer Unknown is not supported");
  expect("/normalizer", 3, "the normalizer 3 is not supported");
  expect("/pre_tokenizer", {{"type", "Unknown"}}, "the pre-tokenizer Unknown is not supported");
  expect("/decoder", {{"type", "Unknown"}}, "the decoder Unknown is not supported");
  expect("/decoder/decoders/3/start", -1, "start of Strip is -1, expected a count");
  expect("/post_processor", {{"type", "Unknown"}}, "the post-processor Unknown");
  expect("/post_processor", {{"type", "BertProcessing"}}, "cls of BertProcessing is no pair");
  expect("/post_processor/single/1/Sequence/id", "B", "has another one than A");
  expect("/post_processor/special_tokens", Json::object(), "\"<s>\" has no ids");
  expect("/post_processor/single", Json::array(), "lacks the text");
  expect("/model/vocab/a", 7, "two pieces have the id 7");
  expect("/model/unk_token", 3, "unk_token is 3, expected a string");
  expect("/model/byte_fallback", "yes", "byte_fallback is \"yes\", expected true or false");
  expect("/model/merges", Json::array({"a a"}), "result of merge 1 is not in the vocabulary");
  Json json = llama2_json(/*byte_fallback=*/false);
  json["model"]["unk_token"] = "<none>";
  EXPECT_THAT_ERROR(load_json(folder, json).encode("q"),
                    "the unknown token \"<none>\" is no piece");
}

TEST(CharacterBpe, ids_without_a_piece_are_known_as_such) {
  const TemporaryFolder folder;
  Json json = llama2_json();
  const auto last = static_cast<int32_t>(load_json(folder, json).vocabulary_size()) - 1;
  json["model"]["vocab"]["beyond"] = last + 3;
  std::vector<bool> expected(static_cast<size_t>(last + 4), true);
  expected[static_cast<size_t>(last + 1)] = expected[static_cast<size_t>(last + 2)] = false;
  EXPECT_EQ(load_json(folder, json).known_ids(), expected);
}

}  // namespace
}  // namespace twofour::text
