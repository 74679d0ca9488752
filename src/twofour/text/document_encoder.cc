#include "twofour/text/document_encoder.h"

#include "twofour/base/error.h"

namespace twofour::text {

int32_t end_of_text_of(const Tokenizer& tokenizer) {
  if (const auto id = tokenizer.end_of_text()) return *id;
  fail(
      "the tokenizer has no end-of-text token (\"<|endoftext|>\", \"</s>\"), with which every "
      "document must end");
}

DocumentEncoder::DocumentEncoder(const Tokenizer& tokenizer, Sink sink)
    : tokenizer_(tokenizer), sink_(std::move(sink)), end_of_text_(end_of_text_of(tokenizer)) {}

bool DocumentEncoder::add(Part part) {
  constexpr size_t kBatchBytes = size_t{8} << 20;
  batch_bytes_ += part.text.size();
  batch_.push_back(std::move(part));
  if (batch_bytes_ < kBatchBytes) return false;
  finish();
  return true;
}

void DocumentEncoder::finish() {
  std::vector<std::string_view> texts;
  std::vector<bool> continues;
  for (const Part& part : batch_) {
    texts.push_back(part.text);
    continues.push_back(inside_document_);
    inside_document_ = !part.ends_document;
  }
  auto encoded = tokenizer_.encode_batch(texts, continues);
  for (size_t i = 0; i < batch_.size(); ++i) {
    if (batch_[i].ends_document) encoded[i].push_back(end_of_text_);
    sink_(encoded[i], batch_[i].ends_document);
  }
  batch_.clear();
  batch_bytes_ = 0;
}

}  // namespace twofour::text
