#include <bit>
#include <random>

#include <gtest/gtest.h>

#include "twofour/base/file.h"
#include "twofour/base/utf8.h"
#include "twofour/text/character_bpe.h"
#include "twofour/text/llama2c_tokenizer.h"
#include "twofour/text/sentencepiece_tokenizer.h"
#include "twofour/text/vocabulary.h"

#include "testing.h"

namespace twofour::text {
namespace {

using testing::TemporaryFolder;

const std::string kSpaceMark(kSpaceSymbol);

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

std::string integer(uint32_t field, int64_t value) {
  return varint(field << 3) + varint(static_cast<uint64_t>(value));
}

std::string bytes(uint32_t field, const std::string& content) {
  return varint(field << 3 | 2) + varint(content.size()) + content;
}

std::string number(uint32_t field, float value) {
  std::string out = varint(field << 3 | 5);
  for (int i = 0; i < 4; ++i) out += static_cast<char>(std::bit_cast<uint32_t>(value) >> (8 * i));
  return out;
}

std::string piece(const std::string& text, float score, int type = SentencePiece::kNormal) {
  return bytes(1, bytes(1, text) + number(2, score) + integer(3, type));
}

struct ModelFile {
  std::string pieces = piece("<unk>", 0, SentencePiece::kUnknown) +
                       piece("<s>", 0, SentencePiece::kControl) +
                       piece("</s>", 0, SentencePiece::kControl);
  int type = SentencePieceModel::kBpe;
  bool byte_fallback = false, dummy_prefix = true, collapse = false;
  std::string normalizer = "identity", table, trainer;

  std::string content() const {
    return pieces +
           bytes(2, integer(3, type) + integer(35, byte_fallback) + integer(43, -1) + trainer) +
           bytes(3, bytes(1, normalizer) + bytes(2, table) + integer(3, dummy_prefix) +
                        integer(4, collapse));
  }
};

// Letters, and pieces whose scores have another order than their ids.
ModelFile letters() {
  ModelFile model;
  float score = -10;
  for (const std::string& text :
       {kSpaceMark, std::string("a"), std::string("b"), std::string("c")}) {
    model.pieces += piece(text, score--);
  }
  model.pieces +=
      piece("ab", -3) + piece("bc", -2) + piece(kSpaceMark + "a", -4) + piece("abc", -5);
  return model;
}

Tokenizer load(const TemporaryFolder& folder, const ModelFile& model) {
  write_file(folder / "tokenizer.model", model.content());
  return Tokenizer::load(folder / "tokenizer.model");
}

std::string sentencepiece_pieces(const Tokenizer& tokenizer, std::string_view text) {
  std::string out;
  for (const int32_t id : tokenizer.encode(text)) {
    out += "[" + tokenizer.decode(std::vector<int32_t>{1, id}).substr(3) + "]";
  }
  return out;
}

TEST(SentencePiece, the_best_score_is_merged_first_and_of_equals_the_leftmost) {
  const TemporaryFolder folder;
  EXPECT_EQ(sentencepiece_pieces(load(folder, letters()), "abc ab"), "[ a][bc][ ][ab]");
  ModelFile equals = letters();
  equals.pieces += piece("aa", -1) + piece("ac", -1) + piece("ca", -1);
  EXPECT_EQ(sentencepiece_pieces(load(folder, equals), "aaaca"), "[ ][aa][ac][a]");
  EXPECT_EQ(sentencepiece_pieces(load(folder, equals), "caca"), "[ ][ca][ca]");
}

TEST(SentencePiece, spaces_are_kept_or_collapsed_as_the_model_says) {
  const TemporaryFolder folder;
  ModelFile model = letters();
  EXPECT_EQ(sentencepiece_pieces(load(folder, model), "  a  b "), "[ ][ ][ a][ ][ ][b][ ]");
  model.collapse = true;
  EXPECT_EQ(sentencepiece_pieces(load(folder, model), "  a  b "), "[ a][ ][b]");
  EXPECT_EQ(sentencepiece_pieces(load(folder, model), "   "), "");
  model.dummy_prefix = false;
  EXPECT_EQ(sentencepiece_pieces(load(folder, model), "  a  b "), "[a][ ][b]");
}

TEST(SentencePiece, user_defined_pieces_are_never_split_or_merged) {
  const TemporaryFolder folder;
  ModelFile model = letters();
  model.pieces += piece("b" + kSpaceMark, 0, SentencePiece::kUserDefined) +
                  piece("b" + kSpaceMark + "c", 0, SentencePiece::kUserDefined);
  EXPECT_EQ(sentencepiece_pieces(load(folder, model), "ab cab a"), "[ a][b c][a][b ][a]");
}

TEST(SentencePiece, a_character_that_is_no_piece_can_be_part_of_one) {
  const TemporaryFolder folder;
  ModelFile model = letters();
  model.pieces += piece("ax", -1);
  EXPECT_EQ(sentencepiece_pieces(load(folder, model), "axx"), "[ ][ax][<unk>]");
  EXPECT_EQ(sentencepiece_pieces(load(folder, model), "bxy"), "[ ][b][<unk>]");
}

TEST(SentencePiece, a_saved_folder_gives_the_same_ids_and_hash) {
  const TemporaryFolder folder;
  std::mt19937 random(4);
  for (const bool collapse : {false, true}) {
    for (const bool dummy_prefix : {false, true}) {
      ModelFile model = letters();
      model.collapse = collapse;
      model.dummy_prefix = dummy_prefix;
      const Tokenizer tokenizer = load(folder, model);
      tokenizer.save(folder / "saved");
      const Tokenizer saved = Tokenizer::load(folder / "saved");
      EXPECT_TRUE(fs::exists(folder / "saved" / "tokenizer.model"));
      EXPECT_EQ(saved.hash(), tokenizer.hash());
      EXPECT_EQ(saved.end_of_text(), 2);
      for (int trial = 0; trial < 300; ++trial) {
        std::string text;
        for (int i = 0; i < 20; ++i) text += "abc  x\n"[random() % 7];
        if (trial % 3 == 0) text += "</s>" + kSpaceMark + " a";
        ASSERT_EQ(saved.encode(text), tokenizer.encode(text)) << text;
        ASSERT_EQ(saved.decode(saved.encode(text)), tokenizer.decode(tokenizer.encode(text)));
      }
    }
  }
}

TEST(SentencePiece, damaged_and_unknown_models_are_refused_in_one_line) {
  const TemporaryFolder folder;
  const auto expect = [&](auto change, const char* message) {
    ModelFile model = letters();
    change(model);
    EXPECT_THAT_ERROR(load(folder, model), message);
  };
  expect([](auto& m) { m.type = SentencePieceModel::kUnigram; }, "model type is Unigram");
  expect([](auto& m) { m.type = 9; }, "model_type 9 is unknown");
  expect([](auto& m) { m.normalizer = "nmt_nfkc"; }, "normalizer \"nmt_nfkc\" is not supported");
  expect([](auto& m) { m.table = "x"; }, "normalizer \"identity\" is not supported");
  expect([](auto& m) { m.byte_fallback = true; }, "\"<0x00>\" is no piece");
  expect([](auto& m) { m.trainer = integer(24, 1); }, "treat_whitespace_as_suffix");
  expect([](auto& m) { m.trainer = integer(40, 1); }, "must be unk_id 1");
  expect([](auto& m) { m.trainer = integer(40, -7); }, "must be unk_id -7");
  expect([](auto& m) { m.pieces += piece("a", 0); }, "piece 11 (\"a\") is there twice");
  expect([](auto& m) { m.pieces += piece("", 0); }, "is empty");
  expect([](auto& m) { m.pieces += piece("\xff", 0); }, "is not valid UTF-8");
  expect([](auto& m) { m.pieces += piece("x", NAN); }, "has a score that is no number");
  expect([](auto& m) { m.pieces += piece(std::string(2000, 'x'), 0); }, "longer than 1024");
  expect([](auto& m) { m.pieces += piece("x", 0, SentencePiece::kUnused); }, "UNUSED");
  expect([](auto& m) { m.pieces += piece("x", 0, 8); }, "unknown type 8");
  expect([](auto& m) { m.pieces = ""; }, "it holds no pieces");
  expect([](auto& m) { m.pieces += integer(1, 5); }, "no valid protocol buffer");
  expect([](auto& m) { m.pieces += varint(1 << 3 | 3); }, "no valid protocol buffer");
  expect([](auto& m) { m.pieces += std::string(12, '\xff'); }, "no valid protocol buffer");
  expect([](auto& m) { m.pieces += bytes(1, varint(1 << 3 | 2) + varint(uint64_t{1} << 62)); },
         "no valid protocol buffer");
  const std::string good = letters().content();
  for (size_t size = 0; size < good.size(); ++size) {  // a prefix may be a model of fewer pieces
    write_file(folder / "tokenizer.model", good.substr(0, size));
    try {
      Tokenizer::load(folder / "tokenizer.model");
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}

std::string llama2c_file(const std::vector<std::string>& pieces) {
  size_t longest = 0;
  std::string body;
  const auto append = [](uint32_t value, std::string& out) {
    for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> (8 * i));
  };
  for (size_t id = 0; id < pieces.size(); ++id) {
    longest = std::max(longest, pieces[id].size());
    append(std::bit_cast<uint32_t>(-static_cast<float>(id)), body);
    append(static_cast<uint32_t>(pieces[id].size()), body);
    body += pieces[id];
  }
  std::string content;
  append(static_cast<uint32_t>(longest), content);
  return content + body;
}

TEST(Llama2cTokenizer, is_read_and_written_byte_for_byte) {
  const TemporaryFolder folder;
  std::vector<std::string> pieces = {"<unk>", "\n<s>\n", "\n</s>\n", " ", "a", "b", " a", " ab"};
  for (const bool fallback : {false, true}) {
    if (fallback) {
      for (int byte = 255; byte >= 0; --byte) pieces.insert(pieces.begin() + 3, byte_piece(byte));
    }
    write_file(folder / "tok.bin", llama2c_file(pieces));
    const Tokenizer tokenizer = Tokenizer::load(folder / "tok.bin");
    EXPECT_EQ(tokenizer.prefix_ids(), std::vector<int32_t>{1});
    const auto ids = tokenizer.encode("ab\n\n");
    ASSERT_EQ(ids.size(), 3u);
    EXPECT_EQ(ids[0], fallback ? 263 : 7);
    EXPECT_EQ(ids[1], fallback ? 3 + '\n' : 0);
    write_file(folder / "again.bin", llama2c_tokenizer(tokenizer));
    EXPECT_EQ(read_file(folder / "again.bin"), read_file(folder / "tok.bin"));
    // Through Hugging Face's files: scores of the merges' order, the same ids.
    tokenizer.save(folder / "saved");
    const Tokenizer saved = Tokenizer::load(folder / "saved");
    EXPECT_EQ(saved.prefix_ids(), std::vector<int32_t>{1});
    write_file(folder / "again.bin", llama2c_tokenizer(saved));
    EXPECT_EQ(Tokenizer::load(folder / "again.bin").encode("ab ba\n\n a"),
              tokenizer.encode("ab ba\n\n a"));
  }
}

TEST(Llama2cTokenizer, the_published_files_come_back_byte_for_byte) {
  SKIP_WITHOUT_SHARED();
  const TemporaryFolder folder;
  const fs::path data = testing::shared_folder() / "data";
  for (const auto& [from, as] : std::vector<std::pair<fs::path, fs::path>>{
           {"models/babyllama-tok105/tok105.bin", "models/babyllama-tok105/tok105.bin"},
           {"models/babyllama-tok105/tok105.model", "models/babyllama-tok105/tok105.bin"},
           {"models/stories260K/tok512.bin", "models/stories260K/tok512.bin"},
           {"tokenizers/llama2/tokenizer.llama2c.bin", "tokenizers/llama2/tokenizer.llama2c.bin"},
           {"tokenizers/llama2/tokenizer.model", "tokenizers/llama2/tokenizer.llama2c.bin"}}) {
    write_file(folder / "again.bin", llama2c_tokenizer(Tokenizer::load(data / from)));
    EXPECT_EQ(read_file(folder / "again.bin"), read_file(data / as)) << from;
  }
  const Tokenizer llama3 = Tokenizer::load(data / "tokenizers/llama3");
  EXPECT_THAT_ERROR(llama2c_tokenizer(llama3), "byte-level");
}

TEST(Llama2cTokenizer, damaged_files_are_refused_in_one_line) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& content, const char* message) {
    write_file(folder / "tok.bin", content);
    EXPECT_THAT_ERROR(Tokenizer::load(folder / "tok.bin"), message);
  };
  const std::vector<std::string> begin = {"<unk>", "\n<s>\n", "\n</s>\n", " "};
  const std::string good = llama2c_file(begin);
  expect("", "too short");
  expect(good.substr(0, 2), "too short");
  expect(good.substr(0, 4), "do not begin with");
  expect(good.substr(0, good.size() - 1), "has 1 bytes, the file holds 0 more");
  expect(good.substr(0, good.size() - 5), "is cut off");
  expect("\1" + good.substr(1), "the header says at most 1");
  expect(llama2c_file({"a", "b", "c", "d"}), "do not begin with");
  expect(llama2c_file({"<unk>", "\n<s>\n", "\n</s>\n", "a", "a"}), "is there twice");
  expect(llama2c_file({"<unk>", "\n<s>\n", "\n</s>\n", kSpaceMark}), "holds U+2581");
  expect(std::string(4, '\x7f') + std::string(64, '\xff'), "is it a tokenizer of llama2.c?");
}

}  // namespace
}  // namespace twofour::text
