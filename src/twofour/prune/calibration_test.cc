#include "twofour/prune/calibration.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "twofour/base/file.h"
#include "twofour/base/parallel.h"
#include "twofour/text/bpe_trainer.h"
#include "twofour/text/token_file.h"
#include "twofour/text/tokenizer.h"

#include "testing.h"

namespace twofour::prune {
namespace {

using Ids = std::vector<int64_t>;

class CalibrationTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    text::BpeTrainer trainer(300, {"<|endoftext|>"});
    trainer.add("the quick brown fox jumps over the lazy dog the fox the dog");
    tokenizer_ = new text::Tokenizer(trainer.train());
  }
  static void TearDownTestSuite() { delete tokenizer_; }

  void SetUp() override {
    make_folder(folder_ / "tokenizer");
    tokenizer_->save(folder_ / "tokenizer");
    options_.samples = 8;
    options_.context = 10;
    options_.tokenizer = folder_ / "tokenizer";
    options_.vocabulary = 300;
  }

  // Ids begin, begin + 1, …, so that an id tells its place.
  fs::path counting_file(const std::string& name, int32_t begin, int32_t tokens) {
    text::TokenFileWriter writer(folder_ / name, 70000, "", true);
    std::vector<int32_t> ids(static_cast<size_t>(tokens));
    std::iota(ids.begin(), ids.end(), begin);
    writer.append(ids);
    writer.commit();
    return folder_ / name;
  }

  // JSON lines of documents with the given numbers of words, all different; each document begins
  // with its own number.
  std::vector<std::string> write_documents(const std::string& name, const std::vector<int>& words) {
    std::string lines;
    std::vector<std::string> documents;
    for (size_t i = 0; i < words.size(); ++i) {
      std::string document = std::to_string(i) + ":";
      for (size_t word = 0; word < size_t(words[i]); ++word)
        document += " " + std::to_string(1000 * i + word);
      lines += nlohmann::json{{"text", document}}.dump() + "\n";
      documents.push_back(std::move(document));
    }
    testing::overwrite(folder_ / name, lines);
    options_.files = {folder_ / name};
    return documents;
  }

  Ids encode(const std::string& document) const {
    const std::vector<int32_t> ids = tokenizer_->encode(document);
    return {ids.begin(), ids.end()};
  }

  std::vector<Ids> draw() const {
    const Calibration calibration = draw_calibration(options_);
    EXPECT_EQ(calibration.ids.sizes(), (at::IntArrayRef{options_.samples, options_.context}));
    const auto* ids = calibration.ids.const_data_ptr<int64_t>();
    std::vector<Ids> samples;
    for (int64_t i = 0; i < options_.samples; ++i, ids += options_.context) {
      samples.emplace_back(ids, ids + options_.context);
    }
    return samples;
  }

  static bool contains(const Ids& stream, const Ids& window) {
    return std::search(stream.begin(), stream.end(), window.begin(), window.end()) != stream.end();
  }

  testing::TemporaryFolder folder_;
  CalibrationOptions options_;
  static text::Tokenizer* tokenizer_;
};

text::Tokenizer* CalibrationTest::tokenizer_ = nullptr;

TEST_F(CalibrationTest, windows_of_token_files_are_disjoint_and_random) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    const auto size = static_cast<int32_t>(80 + random() % 200), cut = size / 3;
    SCOPED_TRACE(size);
    // One stream over the border of two files.
    options_.files = {counting_file("a.bin", 0, cut), counting_file("b.bin", cut, size - cut)};
    options_.vocabulary = size;
    options_.seed = random();
    std::set<int64_t> starts;
    for (const Ids& sample : draw()) {
      for (size_t i = 0; i < sample.size(); ++i) {
        ASSERT_EQ(sample[i], sample[0] + static_cast<int64_t>(i));
      }
      ASSERT_EQ((sample[0] - *starts.insert(sample[0]).first) % 10, 0);
    }
    ASSERT_EQ(starts.size(), 8u);
    for (const int64_t start : starts) ASSERT_EQ((start - *starts.begin()) % 10, 0);
  }
}

TEST_F(CalibrationTest, every_window_and_offset_is_equally_likely) {
  options_.files = {counting_file("a.bin", 0, 48)};  // four windows, nine offsets
  options_.samples = 1;
  for (const Sampling sampling : {Sampling::kStream, Sampling::kSparseGpt}) {
    options_.sampling = sampling;
    std::map<int64_t, int> counts;
    constexpr int kDraws = 7200;
    for (options_.seed = 0; options_.seed < kDraws; ++options_.seed) ++counts[draw()[0][0]];
    // 4 x 9 starts up to 38, or the 38 starts below 48 - 10.
    const bool is_stream = sampling == Sampling::kStream;
    ASSERT_EQ(counts.size(), is_stream ? 36u : 38u);
    EXPECT_EQ(counts.rbegin()->first, is_stream ? 38 : 37);
    for (const auto& [start, count] : counts) {
      EXPECT_NEAR(count, kDraws / (is_stream ? 36 : 38), 75) << start << ": 5 deviations are 70";
    }
  }
}

TEST_F(CalibrationTest, depends_on_content_and_seed_alone) {
  write_documents("a.jsonl", std::vector<int>(300, 20));
  for (const Sampling sampling : {Sampling::kStream, Sampling::kSparseGpt}) {
    options_.sampling = sampling;
    options_.seed = 1;
    const auto first = draw();
    const std::string hash = draw_calibration(options_).hash;
    const int threads = thread_count();
    set_thread_count(threads == 1 ? 2 : 1);
    fs::copy_file(folder_ / "a.jsonl", folder_ / "b.jsonl", fs::copy_options::overwrite_existing);
    options_.files = {folder_ / "b.jsonl"};
    EXPECT_EQ(draw(), first);
    EXPECT_EQ(draw_calibration(options_).hash, hash);
    set_thread_count(threads);
    options_.seed = 2;
    EXPECT_NE(draw(), first);
    EXPECT_NE(draw_calibration(options_).hash, hash);
  }
}

TEST_F(CalibrationTest, a_short_text_is_the_stream_that_data_would_write) {
  const auto documents = write_documents("a.jsonl", {30, 3, 0, 50, 7, 1, 40});
  Ids stream;
  for (const std::string& document : documents) {
    const Ids ids = encode(document);
    stream.insert(stream.end(), ids.begin(), ids.end());
    stream.push_back(*tokenizer_->end_of_text());
  }
  std::string text;
  for (const std::string& document : documents) text += document + "<|endoftext|>\n";
  write_file(folder_ / "a.txt", text);
  for (const char* name : {"a.jsonl", "a.txt"}) {
    options_.files = {folder_ / name};
    for (options_.seed = 0; options_.seed < 20; ++options_.seed) {
      std::set<Ids> samples;
      for (const Ids& sample : draw()) {
        ASSERT_TRUE(contains(stream, sample)) << name << " seed " << options_.seed;
        samples.insert(sample);
      }
      ASSERT_EQ(samples.size(), 8u);
    }
  }
  options_.samples = static_cast<int64_t>(stream.size()) / 10;
  draw();
  ++options_.samples;
  EXPECT_THAT_ERROR(draw(), "holds " + std::to_string(stream.size()));
}

TEST_F(CalibrationTest, a_stream_of_much_text_comes_from_documents_everywhere) {
  // 8 · 80 ids are needed, which are some 30 documents of 2000.
  write_documents("a.jsonl", std::vector<int>(2000, 2));
  double sum = 0;
  int found = 0;
  for (options_.seed = 0; options_.seed < 100; ++options_.seed) {
    for (const Ids& sample : draw()) {
      const std::string text =
          tokenizer_->decode(std::vector<int32_t>(sample.begin(), sample.end()));
      const size_t end = text.find("<|endoftext|>"), colon = text.find(':', end);
      if (end == std::string::npos || colon == std::string::npos) continue;
      const size_t begin = end + std::string("<|endoftext|>").size();
      sum += std::stod(text.substr(begin, colon - begin));
      ++found;
    }
  }
  ASSERT_GT(found, 50);
  EXPECT_NEAR(sum / found, 1000, 4 * 577 / std::sqrt(found));
}

TEST_F(CalibrationTest, long_documents_come_in_parts_that_encode_as_the_whole) {
  std::mt19937 random(3);
  std::string text;
  while (text.size() < (3u << 20)) text += "fox " + std::to_string(random()) + "\nthe  dog ";
  text.pop_back();
  write_file(folder_ / "a.txt", text);
  const Ids stream = encode(text);
  options_.files = {folder_ / "a.txt"};
  options_.context = 500;
  options_.samples = 64;  // 8 · 32000 ids are a few of the parts
  for (const Sampling sampling : {Sampling::kStream, Sampling::kSparseGpt}) {
    options_.sampling = sampling;
    int inside = 0;
    for (const Ids& sample : draw()) inside += contains(stream, sample) ? 1 : 0;
    // A window over the border of two parts that are no neighbours is not in the text.
    EXPECT_GE(inside, sampling == Sampling::kStream ? 55 : 64);
  }
}

TEST_F(CalibrationTest, sparsegpt_draws_uniformly_among_documents_longer_than_the_context) {
  std::vector<int> words;
  for (int i = 0; i < 60; ++i) words.push_back(i % 3 == 0 ? 40 : 1);
  const auto documents = write_documents("a.jsonl", words);
  options_.sampling = Sampling::kSparseGpt;
  options_.samples = 50;
  std::vector<Ids> encoded;
  for (const std::string& document : documents) encoded.push_back(encode(document));
  std::map<size_t, int> counts;
  int begin = 0;
  for (options_.seed = 0; options_.seed < 40; ++options_.seed) {
    for (const Ids& sample : draw()) {
      int holders = 0;
      for (size_t i = 0; i < encoded.size(); ++i) {
        if (!contains(encoded[i], sample)) continue;
        ++holders;
        ++counts[i];
        begin += std::equal(sample.begin(), sample.end(), encoded[i].begin()) ? 1 : 0;
      }
      ASSERT_EQ(holders, 1);
    }
  }
  ASSERT_EQ(counts.size(), 20u);
  for (const auto& [document, count] : counts) {
    EXPECT_EQ(document % 3, 0u);
    EXPECT_NEAR(count, 2000 / 20, 50) << "5 deviations";
  }
  const double starts = static_cast<double>(encoded[0].size()) - 10;
  EXPECT_NEAR(begin, 2000 / starts, 5 * std::sqrt(2000 / starts));
}

TEST_F(CalibrationTest, sparsegpt_never_reaches_the_last_id_of_a_document) {
  const auto documents = write_documents("a.jsonl", {10});
  const Ids ids = encode(documents[0]);
  options_.sampling = Sampling::kSparseGpt;
  options_.context = static_cast<int64_t>(ids.size()) - 1;
  for (const Ids& sample : draw()) EXPECT_EQ(sample, Ids(ids.begin(), ids.end() - 1));
}

TEST_F(CalibrationTest, sparsegpt_adds_the_special_tokens_of_a_text) {
  write_documents("a.jsonl", {40});
  const fs::path file = folder_ / "tokenizer/tokenizer.json";
  auto json = nlohmann::json::parse(read_file(file));
  const int32_t end = *tokenizer_->end_of_text();
  const nlohmann::json special = {{"SpecialToken", {{"id", "<|endoftext|>"}, {"type_id", 0}}}};
  const nlohmann::json sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const nlohmann::json token = {
      {"id", "<|endoftext|>"}, {"ids", {end}}, {"tokens", {"<|endoftext|>"}}};
  json["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {special, sequence}},
                            {"pair", {special, sequence}},
                            {"special_tokens", {{"<|endoftext|>", token}}}};
  testing::overwrite(file, json.dump());
  options_.tokenizer = file;
  options_.sampling = Sampling::kSparseGpt;
  options_.samples = 2000;
  std::set<int64_t> firsts;
  for (const Ids& sample : draw()) firsts.insert(sample[0]);
  EXPECT_EQ(firsts.count(end), 1u);
}

TEST_F(CalibrationTest, more_samples_begin_with_those_of_fewer_for_sparsegpt) {
  write_documents("a.jsonl", std::vector<int>(100, 30));
  options_.sampling = Sampling::kSparseGpt;
  options_.samples = 13;
  const auto few = draw();
  options_.samples = 30;
  const auto many = draw();
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
}

TEST_F(CalibrationTest, token_files_and_texts_join_in_a_stream_but_not_for_sparsegpt) {
  write_documents("a.jsonl", {40, 40});
  testing::overwrite(folder_ / "zeros.bin", std::string(2 * 100, '\0'));
  options_.files.push_back(folder_ / "zeros.bin");
  std::set<bool> kinds;
  for (options_.seed = 0; options_.seed < 10; ++options_.seed) {
    for (const Ids& sample : draw()) kinds.insert(sample == Ids(10, 0));
  }
  EXPECT_EQ(kinds.size(), 2u);
  options_.sampling = Sampling::kSparseGpt;
  EXPECT_THAT_ERROR(draw(), "cannot be mixed");
}

TEST_F(CalibrationTest, too_little_text_is_refused_with_both_numbers) {
  options_.files = {counting_file("a.bin", 0, 79)};
  EXPECT_THAT_ERROR(draw(), "needs 80 tokens");
  EXPECT_THAT_ERROR(draw(), "a.bin\" holds 79");
  options_.sampling = Sampling::kSparseGpt;
  options_.context = 78;
  draw();
  options_.context = 79;
  EXPECT_THAT_ERROR(draw(), "hold 79");
  const auto documents = write_documents("a.jsonl", {3, 9, 2});
  const size_t longest = encode(documents[1]).size();
  options_.context = static_cast<int64_t>(longest);
  EXPECT_THAT_ERROR(draw(), "the longest has " + std::to_string(longest));
  testing::overwrite(folder_ / "a.jsonl", "");
  EXPECT_THAT_ERROR(draw(), "the longest has 0");
  options_.sampling = Sampling::kStream;
  EXPECT_THAT_ERROR(draw(), "holds 0");
}

TEST_F(CalibrationTest, ids_beyond_the_vocabulary_are_refused_with_their_place) {
  options_.files = {counting_file("a.bin", 0, 200)};
  options_.vocabulary = 100;
  EXPECT_THAT_ERROR(draw(), "a.bin\": token 100");
  write_documents("a.jsonl", std::vector<int>(10, 30));
  options_.vocabulary = 20;
  EXPECT_THAT_ERROR(draw(), "a.jsonl\": token ");
  EXPECT_THAT_ERROR(draw(), "is not the model's tokenizer");
  // A tokenizer whose documents end with an added token behind the vocabulary.
  const fs::path file = folder_ / "tokenizer/tokenizer.json";
  auto json = nlohmann::json::parse(read_file(file));
  auto token = json["added_tokens"][0];
  token["content"] = "<|end|>";
  token["id"] = options_.vocabulary = tokenizer_->vocabulary_size();
  json["added_tokens"].push_back(token);
  testing::overwrite(file, json.dump());
  testing::overwrite(folder_ / "tokenizer/tokenizer_config.json", R"({"eos_token": "<|end|>"})");
  EXPECT_THAT_ERROR(draw(),
                    "begins or ends documents with the id " + std::to_string(options_.vocabulary));
}

TEST_F(CalibrationTest, bad_files_and_options_are_refused) {
  EXPECT_THAT_ERROR(draw(), "needs a file");
  write_documents("a.jsonl", std::vector<int>(10, 30));
  const CalibrationOptions good = options_;
  draw();
  options_.tokenizer.clear();
  EXPECT_THAT_ERROR(draw(), "the model has no tokenizer");
  options_.tokenizer = folder_ / "none";
  EXPECT_THAT_ERROR(draw(), "none");
  options_ = good;
  options_.files.push_back(folder_ / "absent.txt");
  EXPECT_THAT_ERROR(draw(), "absent.txt");
  options_.files.back() = folder_ / "absent.bin";
  EXPECT_THAT_ERROR(draw(), "absent.bin");
  options_ = good;
  options_.samples = 0;
  EXPECT_THAT_ERROR(draw(), "0 calibration samples");
  options_.samples = int64_t{1} << 40;
  EXPECT_THAT_ERROR(draw(), "outside 1 to");
  options_ = good;
  testing::overwrite(folder_ / "a.jsonl", "{\"text\": \"a\"}\nnonsense\n");
  EXPECT_THAT_ERROR(draw(), "line 2");
  testing::overwrite(folder_ / "a.jsonl", "bad \xff");
  EXPECT_THAT_ERROR(draw(), "a.jsonl");
}

}  // namespace
}  // namespace twofour::prune
