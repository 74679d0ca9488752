#include "twofour/text/decoder.h"

#include "twofour/base/error.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {
namespace {

class Collector : public PieceReceiver {
 public:
  explicit Collector(std::shared_ptr<std::string> text) : text_(std::move(text)) {}
  void add(std::string_view piece) override { *text_ += piece; }
  void finish() override {}

 private:
  std::shared_ptr<std::string> text_;
};

// Null for an id without a piece or added token.
const std::string* find_piece(const Tokenizer::Implementation& tokenizer, int32_t id) {
  const auto added = tokenizer.decoded_added.find(id);
  if (added != tokenizer.decoded_added.end()) return &added->second;
  const auto content = tokenizer.added_content.find(id);
  if (content != tokenizer.added_content.end()) return &content->second;
  if (static_cast<size_t>(id) >= tokenizer.pieces.size()) return nullptr;
  const auto& piece = tokenizer.pieces[static_cast<size_t>(id)];
  return piece ? &*piece : nullptr;
}

}  // namespace

Decoder::Decoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(tokenizer),
      skip_special_(skip_special),
      text_(std::make_shared<std::string>()),
      steps_(make_decoder(tokenizer.implementation().decoder, std::make_unique<Collector>(text_))) {
}

std::string_view Decoder::add(int32_t id) {
  if (id < 0) fail("token id {} is negative", id);
  text_->clear();
  const Tokenizer::Implementation& tokenizer = tokenizer_.implementation();
  if (skip_special_ && tokenizer.special.count(id)) return {};
  if (const std::string* piece = find_piece(tokenizer, id)) steps_->add(*piece);
  return *text_;
}

std::string_view Decoder::finish() {
  text_->clear();
  steps_->finish();
  return *text_;
}

}  // namespace twofour::text
