#include "twofour/text/documents.h"

#include <algorithm>
#include <string_view>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"
#include "twofour/text/json_text.h"
#include "twofour/text/json_values.h"
#include "twofour/text/lines.h"

namespace twofour::text {

struct DocumentReader::Reader {
  virtual ~Reader() = default;
  virtual bool next(Part& part) = 0;
  virtual const Input& input() const = 0;

  int64_t empty_documents = 0;
};

namespace {

constexpr auto kNone = std::string_view::npos;

// By the first line end, if there is one soon.
bool has_windows_line_ends(Input& input) {
  constexpr size_t kLook = size_t{64} << 10;
  const std::string_view seen = input.peek(kLook);
  const size_t at = seen.find('\n');
  return at != kNone && at > 0 && seen[at - 1] == '\r';
}

std::string with_windows_line_ends(const std::string& separator) {
  std::string out;
  for (const char c : separator) {
    if (c == '\n' && !out.ends_with('\r')) out += '\r';
    out += c;
  }
  return out;
}

class TextReader : public DocumentReader::Reader {
 public:
  TextReader(Input input, const DocumentOptions& options)
      : input_(std::move(input)), options_(options) {
    if (has_windows_line_ends(input_)) {
      options_.separator = with_windows_line_ends(options_.separator);
    }
  }

  const Input& input() const override { return input_; }

  bool next(Part& part) override {
    for (;;) {
      if (at_document_start_) skip_line_ends();
      if (take(part)) {
        check(part.text);
        return true;
      }
      if (ended_) return false;
      if (buffer_.size() > options_.largest_document) {
        fail("cannot read {}: a document is longer than {} bytes, with no place to cut it",
             input_.name(), options_.largest_document);
      }
      ended_ = !fill();
    }
  }

 private:
  bool fill() {
    constexpr size_t kChunk = 1 << 18;
    const size_t used = buffer_.size();
    buffer_.resize(used + kChunk);
    buffer_.resize(used + input_.read(std::span(buffer_).subspan(used)));
    return buffer_.size() > used;
  }

  void skip_line_ends() {
    if (options_.whole_texts) return;
    const size_t first = buffer_.find_first_not_of("\r\n");
    const size_t skipped = std::min(first, buffer_.size());
    buffer_.erase(0, skipped);
    consumed_ += skipped;
  }

  // Takes a document or a part of one from the buffer, if the buffer holds one for certain.
  bool take(Part& part) {
    const std::string& separator = options_.separator;
    const size_t at =
        separator.empty() || options_.whole_texts ? kNone : buffer_.find(separator, searched_);
    if (at != kNone) return take_document(part, at, separator.size());
    searched_ = buffer_.size() > separator.size() ? buffer_.size() - separator.size() : 0;
    if (ended_) return !buffer_.empty() && take_document(part, buffer_.size(), 0);
    if (buffer_.size() < 2 * options_.part_bytes || !options_.safe_cut) return false;
    const size_t cut = options_.safe_cut(buffer_, options_.part_bytes);
    if (cut == kNone || cut >= searched_) return false;
    part = {buffer_.substr(0, cut), false};
    buffer_.erase(0, cut);
    searched_ -= cut;
    at_document_start_ = false;
    return true;
  }

  bool take_document(Part& part, size_t size, size_t separator) {
    std::string_view text = std::string_view(buffer_).substr(0, size);
    if (!options_.whole_texts) text = text.substr(0, text.find_last_not_of("\r\n") + 1);
    const bool is_empty = text.empty() && at_document_start_;
    part = {std::string(text), true};
    buffer_.erase(0, size + separator);
    searched_ = 0;
    at_document_start_ = true;
    // Bytes that check() does not see still count in the positions that it names.
    skipped_after_ = size + separator - text.size();
    if (!is_empty) return true;
    ++empty_documents;
    consumed_ += skipped_after_;
    return false;
  }

  void check(const std::string& text) {
    const size_t bad = find_invalid_utf8(text);
    if (bad != kNone) {
      fail("cannot read {}: not valid UTF-8 at byte {} (\"{}\"); convert it with iconv",
           input_.name(), consumed_ + bad, printable(std::string_view(text).substr(bad, 4)));
    }
    consumed_ += text.size() + (at_document_start_ ? skipped_after_ : 0);
  }

  Input input_;
  DocumentOptions options_;
  std::string buffer_;
  size_t searched_ = 0, skipped_after_ = 0;
  uint64_t consumed_ = 0;
  bool ended_ = false, at_document_start_ = true;
};

class JsonLinesReader : public DocumentReader::Reader {
 public:
  JsonLinesReader(Input input, const DocumentOptions& options)
      : lines_(LineReader(std::move(input), options.largest_record), options.text_field) {}

  const Input& input() const override { return lines_.lines().input(); }

  bool next(Part& part) override {
    part.ends_document = true;
    while (lines_.next(part.text)) {
      if (!part.text.empty()) return true;
      ++empty_documents;
    }
    return false;
  }

 private:
  JsonLines lines_;
};

class JsonReader : public DocumentReader::Reader {
 public:
  JsonReader(Input input, const DocumentOptions& options)
      : values_(std::move(input), options.largest_record), json_(options.text_field) {}

  const Input& input() const override { return values_.input(); }

  bool next(Part& part) override {
    std::string_view value;
    while (values_.next(value)) {
      try {
        part = {json_.read(value), true};
      } catch (const Error& error) {
        fail("cannot read {}: value {} {}", input().name(), values_.number(), error.what());
      }
      if (!part.text.empty()) return true;
      ++empty_documents;
    }
    return false;
  }

 private:
  JsonValues values_;
  JsonText json_;
};

std::unique_ptr<DocumentReader::Reader> make_reader(ContentKind kind, Input input,
                                                    const DocumentOptions& options) {
  switch (kind) {
    case ContentKind::kText:
      return std::make_unique<TextReader>(std::move(input), options);
    case ContentKind::kJsonLines:
      return std::make_unique<JsonLinesReader>(std::move(input), options);
    case ContentKind::kJson:
      return std::make_unique<JsonReader>(std::move(input), options);
  }
  return nullptr;
}

}  // namespace

DocumentReader::DocumentReader(Input input, const DocumentOptions& options)
    : content_(content_of(input, options.format, options.text_field)),
      reader_(make_reader(content_.kind, std::move(input), options)) {}

DocumentReader::~DocumentReader() = default;

bool DocumentReader::next(Part& part) { return reader_->next(part); }
const Input& DocumentReader::input() const { return reader_->input(); }
int64_t DocumentReader::empty_documents() const { return reader_->empty_documents; }

}  // namespace twofour::text
