#include "twofour/text/documents.h"

#include <random>

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "twofour/base/file.h"
#include "twofour/text/bpe_trainer.h"
#include "twofour/text/prepare.h"
#include "twofour/text/token_file.h"

#include "testing.h"

namespace twofour::text {
namespace {

using testing::TemporaryFolder;

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::vector<std::string> documents_in(const fs::path& path, DocumentOptions options = {}) {
  DocumentReader reader(path, options);
  std::vector<std::string> documents;
  Part part;
  for (bool begins = true; reader.next(part); begins = part.ends_document) {
    if (begins) documents.emplace_back();
    documents.back() += part.text;
  }
  return documents;
}

TEST(DocumentReader, parts_text_at_separators) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.txt";
  const auto read = [&](const std::string& text, const std::string& separator) {
    write_file(path, text);
    return documents_in(path, {separator, {}, 1 << 20, 1 << 20});
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(read("one\ntwo", "<|endoftext|>"), (Texts{"one\ntwo"}));
  EXPECT_EQ(read("one\n<|endoftext|>\ntwo\n\n<|endoftext|>\n", "<|endoftext|>"),
            (Texts{"one", "two"}));
  EXPECT_EQ(read("a\n\nb\n\n\n\nc", "\n\n"), (Texts{"a", "b", "c"}));
  EXPECT_EQ(read("a\n\nb", ""), (Texts{"a\n\nb"}));
  EXPECT_EQ(read("\xef\xbb\xbf"
                 "bom",
                 ""),
            (Texts{"bom"}));
  EXPECT_EQ(read("", ""), Texts{});
}

TEST(DocumentReader, reads_json_lines_compressed_or_not) {
  const TemporaryFolder folder;
  std::string lines;
  std::vector<std::string> expected;
  for (int i = 0; i < 5000; ++i) {
    expected.push_back("document " + std::to_string(i) + " \xc3\xa9");
    lines += R"({"url":"x","text":"document )" + std::to_string(i) + " \\u00e9\"}\n";
  }
  write_file(folder / "a.jsonl", lines + "\n{\"text\":\"\"}\n");
  EXPECT_EQ(documents_in(folder / "a.jsonl"), expected);
  const size_t half = lines.find('\n', lines.size() / 2) + 1;
  write_file(folder / "a.jsonl.gz", gzip(lines.substr(0, half)) + gzip(lines.substr(half)));
  EXPECT_EQ(documents_in(folder / "a.jsonl.gz"), expected) << "several gzip members";
  write_file(folder / "a.jsonl.zst", zstd(lines.substr(0, half)) + zstd(lines.substr(half)));
  EXPECT_EQ(documents_in(folder / "a.jsonl.zst"), expected) << "several zstd frames";
}

TEST(DocumentReader, names_file_and_place_of_bad_input) {
  const TemporaryFolder folder;
  const auto read = [&](const char* name, const std::string& content) {
    write_file(folder / name, content);
    return documents_in(folder / name);
  };
  EXPECT_THAT_ERROR(read("a.txt", "abc\xff"), "a.txt\": not valid UTF-8 at byte 3");
  EXPECT_THAT_ERROR(read("a.txt", "\n\none<|endoftext|>\n\xc3"), "at byte 19");
  EXPECT_THAT_ERROR(read("a.jsonl", "{\"text\":\"a\"}\n{\"text\":"), "line 2 is no valid JSON");
  EXPECT_THAT_ERROR(read("a.jsonl", "{\"txt\":\"a\"}"), "line 1 has no \"text\"");
  EXPECT_THAT_ERROR(read("a.jsonl", "{\"text\":3}"), "line 1 has no \"text\"");
  EXPECT_THAT_ERROR(read("a.jsonl", "[1]"), "line 1 has no \"text\"");
  EXPECT_THAT_ERROR(read("a.jsonl", "{\"text\":\"\xff\"}"), "line 1 is not valid UTF-8");
  EXPECT_THAT_ERROR(read("a.jsonl", std::string(100000, '[')), "line 1 is no valid JSON");
  const std::string good = "{\"text\":\"" + std::string(100000, 'x') + "\"}\n";
  EXPECT_THAT_ERROR(read("a.jsonl.gz", gzip(good).substr(0, 100)), "ends early");
  EXPECT_THAT_ERROR(read("a.jsonl.gz", good), "is damaged");
  EXPECT_THAT_ERROR(read("a.jsonl.zst", zstd(good).substr(0, 20)), "ends early");
  EXPECT_THAT_ERROR(read("a.jsonl.zst", good), "is damaged");
  EXPECT_THAT_ERROR(documents_in(folder / "none.txt"), "No such file");
  EXPECT_THAT_ERROR(documents_in(folder.path()), "it is a folder");
}

class PrepareTest : public ::testing::Test {
 protected:
  PrepareTest() : tokenizer_(make_tokenizer()) {}
  static Tokenizer make_tokenizer() {
    BpeTrainer trainer;
    trainer.add("the quick brown fox jumps over the lazy dog, again and again");
    return trainer.train(300, {"<|endoftext|>"});
  }
  std::vector<int32_t> tokens(const char* name) {
    const TokenFile file = TokenFile::open(folder_ / "out" / name);
    std::vector<int64_t> ids(static_cast<size_t>(file.size()));
    file.read(0, ids);
    return {ids.begin(), ids.end()};
  }
  PrepareOptions options() {
    PrepareOptions options;
    options.inputs = {folder_ / "in.txt"};
    options.out = folder_ / "out";
    return options;
  }
  TemporaryFolder folder_;
  Tokenizer tokenizer_;
};

TEST_F(PrepareTest, every_document_lands_in_one_file_and_ends_with_end_of_text) {
  std::string text, both;
  for (int i = 0; i < 400; ++i)
    text += "document number " + std::to_string(i) + "\n<|endoftext|>\n";
  write_file(folder_ / "in.txt", text);
  auto chosen = options();
  chosen.val_fraction = 0.25;
  const PrepareSummary summary = prepare(tokenizer_, chosen);
  EXPECT_EQ(summary.train_documents + summary.val_documents, 400);
  EXPECT_NEAR(static_cast<double>(summary.val_documents), 100, 40);
  for (const char* name : {"train.bin", "val.bin"}) {
    const auto ids = tokens(name);
    EXPECT_EQ(ids.back(), *tokenizer_.end_of_text());
    both += tokenizer_.decode(ids);
  }
  for (int i = 0; i < 400; ++i) {
    EXPECT_NE(both.find("document number " + std::to_string(i) + "<|endoftext|>"),
              std::string::npos);
  }
  const auto again = tokens("val.bin");
  prepare(tokenizer_, chosen);
  EXPECT_EQ(tokens("val.bin"), again);
  EXPECT_EQ(Tokenizer::load(folder_ / "out/tokenizer").hash(), tokenizer_.hash());
}

TEST_F(PrepareTest, a_long_document_read_in_parts_gives_the_ids_of_the_whole) {
  std::string text;
  std::mt19937 random(3);
  while (text.size() < (20u << 20)) {
    text += "fox " + std::to_string(random()) + (random() % 3 ? " again" : "\nthe  dog");
  }
  write_file(folder_ / "in.txt", text);
  auto chosen = options();
  chosen.val_fraction = 0;
  prepare(tokenizer_, chosen);
  auto expected = tokenizer_.encode(text);
  expected.push_back(*tokenizer_.end_of_text());
  EXPECT_TRUE(tokens("train.bin") == expected);
}

TEST_F(PrepareTest, nothing_appears_when_an_input_is_bad) {
  write_file(folder_ / "in.txt", "good");
  write_file(folder_ / "bad.txt", "bad \xff");
  auto chosen = options();
  chosen.val_fraction = 0;
  chosen.inputs.push_back(folder_ / "bad.txt");
  EXPECT_THAT_ERROR(prepare(tokenizer_, chosen), "bad.txt");
  EXPECT_TRUE(!fs::exists(folder_ / "out") || fs::is_empty(folder_ / "out"));
  chosen = options();
  EXPECT_THAT_ERROR(prepare(tokenizer_, chosen), "none fell to");
  chosen.val_fraction = 1;
  EXPECT_THAT_ERROR(prepare(tokenizer_, chosen), "--val-fraction");
  write_file(folder_ / "in.txt", "\n\n");
  EXPECT_THAT_ERROR(prepare(tokenizer_, options()), "no documents");
  chosen = options();
  chosen.val_fraction = 0;
  chosen.nanogpt = true;
  write_file(folder_ / "in.txt", "good");
  prepare(tokenizer_, chosen);
  EXPECT_FALSE(fs::exists(folder_ / "out/train.json"));
}

}  // namespace
}  // namespace twofour::text
