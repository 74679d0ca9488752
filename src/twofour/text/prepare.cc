#include "twofour/text/prepare.h"

#include <optional>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/random.h"
#include "twofour/text/documents.h"
#include "twofour/text/token_file.h"

namespace twofour::text {
namespace {

constexpr size_t kBatchBytes = size_t{8} << 20;

class Preparer {
 public:
  Preparer(const Tokenizer& tokenizer, const PrepareOptions& options)
      : tokenizer_(tokenizer), options_(options) {
    if (!tokenizer.end_of_text()) {
      fail(
          "the tokenizer has no end-of-text token (\"<|endoftext|>\", \"</s>\"), with which every "
          "document must end");
    }
    end_of_text_ = *tokenizer.end_of_text();
    const auto open = [&](const char* name) {
      return std::make_unique<TokenFileWriter>(options.out / name, tokenizer.vocabulary_size(),
                                               tokenizer.hash(), !options.nanogpt);
    };
    train_ = open("train.bin");
    if (options.val_fraction > 0) val_ = open("val.bin");
  }

  PrepareSummary run() {
    for (const fs::path& input : options_.inputs) total_bytes_ += file_bytes(input);
    PrepareSummary summary;
    for (const fs::path& input : options_.inputs) summary.empty_documents += read_input(input);
    flush();
    finish(summary);
    return summary;
  }

 private:
  static uint64_t file_bytes(const fs::path& path) { return Input(path).file_size(); }

  int64_t read_input(const fs::path& input) {
    DocumentOptions options;
    options.separator = options_.separator;
    options.safe_cut = [this](std::string_view text, size_t begin) {
      return tokenizer_.safe_cut(text, begin);
    };
    DocumentReader reader(input, options);
    Part part;
    while (reader.next(part)) {
      batch_bytes_ += part.text.size();
      batch_.push_back(std::move(part));
      if (batch_bytes_ < kBatchBytes) continue;
      flush();
      report(reader.input().file_position());
    }
    done_bytes_ += reader.input().file_size();
    return reader.empty_documents();
  }

  void flush() {
    std::vector<std::string_view> texts;
    std::vector<bool> continues;
    for (const Part& part : batch_) {
      texts.push_back(part.text);
      continues.push_back(inside_document_);
      inside_document_ = !part.ends_document;
    }
    auto encoded = tokenizer_.encode_batch(texts, continues);
    for (size_t i = 0; i < batch_.size(); ++i) {
      TokenFileWriter& file = goes_to_val(documents_) ? *val_ : *train_;
      if (batch_[i].ends_document) encoded[i].push_back(end_of_text_);
      file.append(encoded[i]);
      if (!batch_[i].ends_document) continue;
      file.end_document();
      ++documents_;
    }
    batch_.clear();
    batch_bytes_ = 0;
  }

  bool goes_to_val(int64_t document) const {
    if (!val_) return false;
    const RandomStream stream{options_.seed, 0, 0, RandomStream::kSplit};
    return uniform_from_bits(stream(static_cast<uint32_t>(document))[0]) < options_.val_fraction;
  }

  void report(uint64_t position) const {
    if (!options_.progress) return;
    const int64_t tokens = train_->tokens() + (val_ ? val_->tokens() : 0);
    options_.progress(done_bytes_ + position, total_bytes_, tokens);
  }

  void finish(PrepareSummary& summary) {
    summary.train_tokens = train_->tokens();
    summary.train_documents = train_->documents();
    if (documents_ == 0) fail("the inputs hold no documents");
    if (val_) {
      summary.val_tokens = val_->tokens();
      summary.val_documents = val_->documents();
    }
    if (summary.train_documents == 0 || (val_ && summary.val_documents == 0)) {
      fail(
          "of {} documents none fell to {}.bin: use another --val-fraction or --seed, or a "
          "--document-separator that parts the text into more documents",
          documents_, summary.train_documents == 0 ? "train" : "val");
    }
    train_->commit();
    if (val_) val_->commit();
    tokenizer_.save(options_.out / "tokenizer");
  }

  const Tokenizer& tokenizer_;
  const PrepareOptions& options_;
  int32_t end_of_text_;
  std::unique_ptr<TokenFileWriter> train_, val_;
  std::vector<Part> batch_;
  size_t batch_bytes_ = 0;
  bool inside_document_ = false;  // behind the last part of the last batch
  int64_t documents_ = 0;
  uint64_t total_bytes_ = 0, done_bytes_ = 0;
};

}  // namespace

PrepareSummary prepare(const Tokenizer& tokenizer, const PrepareOptions& options) {
  if (!(options.val_fraction >= 0) || options.val_fraction >= 1) {
    fail_usage("--val-fraction must lie in [0, 1), not {}", options.val_fraction);
  }
  return Preparer(tokenizer, options).run();
}

}  // namespace twofour::text
