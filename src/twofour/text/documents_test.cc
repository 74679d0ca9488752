#include "twofour/text/documents.h"

#include <fstream>
#include <random>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "twofour/base/file.h"
#include "twofour/text/bpe_trainer.h"
#include "twofour/text/prepare.h"
#include "twofour/text/token_file.h"

#include "testing.h"

namespace twofour::text {
namespace {

using testing::TemporaryFolder;

constexpr auto kNone = std::string::npos;

std::vector<std::string> documents_in(const fs::path& path, DocumentOptions options = {}) {
  DocumentReader reader(Input(path), options);
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
    testing::overwrite(path, text);
    DocumentOptions options;
    options.separator = separator;
    return documents_in(path, options);
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(read("one\ntwo", "<|endoftext|>"), (Texts{"one\ntwo"}));
  EXPECT_EQ(read("one\n<|endoftext|>\ntwo\n\n<|endoftext|>\n", "<|endoftext|>"),
            (Texts{"one", "two"}));
  EXPECT_EQ(read("a\n\nb\n\n\n\nc", "\n\n"), (Texts{"a", "b", "c"}));
  EXPECT_EQ(read("a\n\nb", ""), (Texts{"a\n\nb"}));
  EXPECT_EQ(read("a\r\nb\r\n\r\nc\r\n", "\n\n"), (Texts{"a\r\nb", "c"}));
  EXPECT_EQ(read("a\nb\r\n\r\nc", "\n\n"), (Texts{"a\nb\r\n\r\nc"})) << "the first decides";
  EXPECT_EQ(read("\xef\xbb\xbf"
                 "bom",
                 ""),
            (Texts{"bom"}));
  EXPECT_EQ(read("", ""), Texts{});
}

TEST(DocumentReader, keeps_a_whole_text_to_the_last_line_end) {
  const TemporaryFolder folder;
  write_file(folder / "a.txt", "\n\none<|endoftext|>two\n\n");
  DocumentOptions options;
  options.whole_texts = true;
  EXPECT_EQ(documents_in(folder / "a.txt", options),
            (std::vector<std::string>{"\n\none<|endoftext|>two\n\n"}));
}

// How each content is read, whatever the name ends in, and the influence of a name.
TEST(DocumentReader, decides_by_content_what_a_file_holds) {
  const TemporaryFolder folder;
  using Texts = std::vector<std::string>;
  const auto read = [&](const char* name, const std::string& content,
                        const DocumentOptions& options = {}) {
    testing::overwrite(folder / name, content);
    return documents_in(folder / name, options);
  };
  const std::string long_line = R"({"id": ")" + std::string(200000, 'x') + R"(", "text": "long"})";
  for (const char* name : {"a.json", "a.jsonl", "a.ndjson", "a.txt", "a", "a.JSON"}) {
    EXPECT_EQ(read(name, "{\"text\":\"a\"}\n{\"text\":\"b\"}\n"), (Texts{"a", "b"})) << name;
    EXPECT_EQ(read(name, "\xef\xbb\xbf\n {\"text\":\"a\"}\r\n\r\n{\"text\":\"\"}"), (Texts{"a"}));
    EXPECT_EQ(read(name, long_line + "\n" + long_line), (Texts{"long", "long"})) << name;
    EXPECT_EQ(read(name, "[{\"text\":\"a,]\\\"\"},\n {\"text\":\"b\"}]\n"), (Texts{"a,]\"", "b"}));
    EXPECT_EQ(read(name, "{\n  \"text\": \"a\",\n  \"id\": [1]\n}\n"), (Texts{"a"})) << name;
  }
  for (const std::string text :
       {"{\"txt\":\"a\"}", "{", "[", "[Intro]", "[{", "{\\bf x}", "{}", "[1]"}) {
    EXPECT_EQ(read("a.txt", text), (Texts{text}));
    EXPECT_THAT_ERROR(read("a.json", text), "a.json\": ");
    EXPECT_THAT_ERROR(read("a.jsonl", text), "a.jsonl\": line 1 ");
  }
  DocumentOptions options;
  options.text_field = "content";
  EXPECT_EQ(read("a.json", "{\"content\":\"a\",\"text\":\"b\"}\n", options), (Texts{"a"}));
  options.format = "text";
  EXPECT_EQ(read("a.jsonl", "{\"content\":\"a\"}\n", options), (Texts{"{\"content\":\"a\"}"}));
  options.format = "jsonl";
  EXPECT_THAT_ERROR(read("a.txt", "text", options), "line 1 is no valid JSON");
  options.format = "xml";
  EXPECT_THAT_ERROR(read("a.txt", "text", options), "choose auto, text, jsonl or json");
}

TEST(DocumentReader, says_what_it_decided_where_the_name_does_not) {
  const TemporaryFolder folder;
  const auto decision = [&](const char* name, const std::string& content) {
    testing::overwrite(folder / name, content);
    return DocumentReader(Input(folder / name), {}).content().decision;
  };
  EXPECT_EQ(decision("a.jsonl", "{\"text\":\"a\"}\n"), "");
  EXPECT_EQ(decision("a.txt", "text"), "");
  EXPECT_EQ(decision("a", ""), "");
  EXPECT_NE(decision("a.json", "{\"text\":\"a\"}\n").find(".json files are read as JSON lines"),
            kNone);
  EXPECT_NE(decision("a", "{\"text\":\"a\"}\n").find("without a suffix are read as JSON lines"),
            kNone);
  EXPECT_NE(decision("a.jsonl", "[{\"text\":\"a\"}]").find("read as JSON values"), kNone);
  EXPECT_NE(decision("a.txt", "{\"txt\":\"a\"}\n").find("read as text, though JSON without"),
            kNone);
}

TEST(DocumentReader, names_file_and_place_of_bad_input) {
  const TemporaryFolder folder;
  const auto read = [&](const char* name, const std::string& content) {
    testing::overwrite(folder / name, content);
    return documents_in(folder / name);
  };
  EXPECT_THAT_ERROR(read("a.txt", "abc\xff"), "a.txt\": not valid UTF-8 at byte 3");
  EXPECT_THAT_ERROR(read("a.txt", "\n\none<|endoftext|>\n\xc3"), "at byte 19");
  EXPECT_THAT_ERROR(read("a.jsonl", "{\"text\":\"a\"}\n{\"text\":"), "line 2 is no valid JSON");
  EXPECT_THAT_ERROR(read("a.jsonl", "{\"txt\":\"a\"}"), "line 1 has no \"text\"");
  EXPECT_THAT_ERROR(read("a.jsonl", "{\"text\":3}"), "line 1 has no \"text\"");
  EXPECT_THAT_ERROR(read("a.jsonl", "{\"text\":\"a\"}\n[1]"), "line 2 has no \"text\"");
  EXPECT_THAT_ERROR(read("a.jsonl", "{\"text\":\"\xff\"}"), "line 1 is not valid UTF-8 at byte 10");
  EXPECT_THAT_ERROR(read("a.jsonl", std::string(100000, '[')), "line 1 is no valid JSON");
  EXPECT_THAT_ERROR(read("a.json", "[{\"text\":\"a\"}\n{\"text\":\"b\"}]"),
                    "behind value 1 \",\" or");
  EXPECT_THAT_ERROR(read("a.json", "[{\"text\":\"a\"},"), "value 2 is no valid JSON");
  EXPECT_THAT_ERROR(read("a.json", "[{\"text\":\"a\"}"), "the array ends early");
  EXPECT_THAT_ERROR(read("a.json", "[{\"text\":\"a\"}]]"), "more follows");
  EXPECT_THAT_ERROR(read("a.json", "[{\"text\":\"a\"},3]"), "value 2 has no \"text\"");
  EXPECT_THAT_ERROR(read("a.json", "{\n\"text\":\"a\"}\n{\n\"text\":\"a\"}"), "another follows");
  EXPECT_THAT_ERROR(documents_in(folder / "none.txt"), "No such file");
  EXPECT_THAT_ERROR(documents_in(folder.path()), "it is a folder");
  write_file(folder / "a.jsonl", "{\"text\":\"" + std::string(5000, 'x') + "\"}");
  DocumentOptions options;
  options.largest_record = 1000;
  EXPECT_THAT_ERROR(documents_in(folder / "a.jsonl", options), "longer than 1000 bytes");
  options.largest_document = 1000;
  write_file(folder / "a.txt", std::string(300000, 'x'));
  EXPECT_THAT_ERROR(documents_in(folder / "a.txt", options), "longer than 1000 bytes");
}

TEST(DocumentFiles, reads_one_after_another_and_refuses_before_the_first_what_cannot_be_read) {
  const TemporaryFolder folder;
  write_file(folder / "a.txt", "one");
  write_file(folder / "b.jsonl", "{\"text\":\"two\"}\n{\"text\":\"\"}\n");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(folder / "pipe") << "three"; });
  DocumentFiles files({folder / "a.txt", folder / "b.jsonl", folder / "pipe"}, {});
  std::vector<std::string> texts;
  for (Part part; files.next(part);) texts.push_back(part.text);
  writer.join();
  EXPECT_EQ(texts, (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(files.empty_documents(), 1);
  EXPECT_EQ(files.bytes(), 0u) << "a pipe's are not known";
  EXPECT_EQ(DocumentFiles({folder / "a.txt"}, {}).bytes(), 3u);
  EXPECT_THAT_ERROR(DocumentFiles({folder / "a.txt", folder / "none"}, {}), "none\": No such file");
  EXPECT_THAT_ERROR(DocumentFiles({"-", "-"}, {}), "only once");
}

class PrepareTest : public ::testing::Test {
 protected:
  PrepareTest() : tokenizer_(make_tokenizer()) {}
  static Tokenizer make_tokenizer() {
    BpeTrainer trainer(300, {"<|endoftext|>"});
    trainer.add("the quick brown fox jumps over the lazy dog, again and again");
    return trainer.train();
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

TEST_F(PrepareTest, nothing_of_an_earlier_call_stays_beside_the_new_files) {
  write_file(folder_ / "in.txt", "one<|endoftext|>two<|endoftext|>three<|endoftext|>four");
  auto chosen = options();
  chosen.val_fraction = 0.5;
  prepare(tokenizer_, chosen);
  write_file(folder_ / "out/tokenizer/vocab.json", "{}");
  write_file(folder_ / "out/notes.txt", "mine");
  chosen.val_fraction = 0;
  prepare(tokenizer_, chosen);
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "out")) {
    names.insert(fs::relative(entry.path(), folder_ / "out").string());
  }
  EXPECT_EQ(names.count("val.bin") + names.count("val.json"), 0u);
  EXPECT_EQ(names.count("tokenizer/vocab.json"), 0u);
  EXPECT_EQ(names.count("notes.txt"), 1u);
  EXPECT_EQ(Tokenizer::load(folder_ / "out/tokenizer").hash(), tokenizer_.hash());
}

}  // namespace
}  // namespace twofour::text
