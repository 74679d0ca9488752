#include "twofour/text/prepare.h"

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/folder_lock.h"
#include "twofour/base/log.h"
#include "twofour/base/random.h"
#include "twofour/text/document_encoder.h"
#include "twofour/text/token_file.h"

namespace twofour::text {
namespace {

class Preparer {
 public:
  Preparer(const Tokenizer& tokenizer, const PrepareOptions& options)
      : tokenizer_(tokenizer),
        options_(options),
        encoder_(tokenizer, [this](std::span<const int32_t> ids, bool ends_document) {
          take(ids, ends_document);
        }) {
    const auto open = [&](const char* name) {
      return std::make_unique<TokenFileWriter>(options.out / name, tokenizer.vocabulary_size(),
                                               tokenizer.hash(), !options.nanogpt);
    };
    train_ = open("train.bin");
    if (options.val_fraction > 0) val_ = open("val.bin");
  }

  PrepareSummary run() {
    DocumentOptions documents = options_.documents;
    documents.safe_cut = [this](std::string_view text, size_t begin) {
      return tokenizer_.safe_cut(text, begin);
    };
    DocumentFiles files(options_.inputs, documents);
    report(files);
    for (Part part; files.next(part);) {
      if (encoder_.add(std::move(part))) report(files);
    }
    encoder_.finish();
    PrepareSummary summary;
    summary.empty_documents = files.empty_documents();
    finish(summary);
    return summary;
  }

 private:
  void take(std::span<const int32_t> ids, bool ends_document) {
    TokenFileWriter& file = goes_to_val(documents_) ? *val_ : *train_;
    file.append(ids);
    if (!ends_document) return;
    file.end_document();
    ++documents_;
  }

  bool goes_to_val(int64_t document) const {
    if (!val_) return false;
    const RandomStream stream{options_.seed, 0, 0, RandomStream::kSplit};
    return uniform_from_bits(stream(static_cast<uint32_t>(document))[0]) < options_.val_fraction;
  }

  void report(const DocumentFiles& files) const {
    if (!options_.progress) return;
    const int64_t tokens = train_->tokens() + (val_ ? val_->tokens() : 0);
    options_.progress(files.bytes_done(), files.bytes(), tokens);
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
    AtomicFolder tokenizer(options_.out / "tokenizer");
    tokenizer_.save(tokenizer.path());
    train_->commit();
    val_ ? val_->commit() : remove_validation();
    tokenizer.commit();
  }

  // Otherwise training would validate on an earlier call's data.
  void remove_validation() const {
    const fs::path bin = options_.out / "val.bin";
    if (!fs::exists(bin)) return;
    fs::remove(token_info_path(bin));
    fs::remove(bin);
    spdlog::info("removed \"{}\", which belonged to other training data", bin.string());
  }

  const Tokenizer& tokenizer_;
  const PrepareOptions& options_;
  std::unique_ptr<TokenFileWriter> train_, val_;
  DocumentEncoder encoder_;
  int64_t documents_ = 0;
};

}  // namespace

PrepareSummary prepare(const Tokenizer& tokenizer, const PrepareOptions& options) {
  if (!(options.val_fraction >= 0) || options.val_fraction >= 1) {
    fail_usage("--val-fraction must lie in [0, 1), not {}", options.val_fraction);
  }
  const FolderLock lock(options.out);
  return Preparer(tokenizer, options).run();
}

}  // namespace twofour::text
